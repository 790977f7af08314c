// A mask over a picture, painted with a pointer or by keyboard.

const MOST_SIDE = 4096; // larger pictures get a coarser mask, which the server scales up
const PAINT = "rgb(255, 40, 80)";

export function createBrush(host, slider) {
  let canvas = null, context = null, cursor = null, scale = 1, size = 24, erases = false, last = null, place = null, changed = false;

  function stamp(from, to) {
    context.globalCompositeOperation = erases ? "destination-out" : "source-over";
    context.strokeStyle = PAINT; context.lineCap = "round"; context.lineJoin = "round"; context.lineWidth = size * scale;
    context.beginPath(); context.moveTo(from.x * scale, from.y * scale); context.lineTo(to.x * scale + .01, to.y * scale); context.stroke();
    changed = true;
  }
  function show(at) {
    place = { x: Math.max(0, Math.min(slider.size.width, at.x)), y: Math.max(0, Math.min(slider.size.height, at.y)) };
    Object.assign(cursor.style, { left: `${place.x - size / 2}px`, top: `${place.y - size / 2}px`, width: `${size}px`, height: `${size}px` });
  }
  function down(event) {
    if (!canvas || event.button) return;
    event.preventDefault(); event.stopPropagation();
    host.setPointerCapture(event.pointerId); last = slider.at(event); show(last); stamp(last, last);
  }
  function move(event) {
    if (!canvas) return;
    const now = slider.at(event);
    show(now);
    if (!last) return;
    event.stopPropagation(); stamp(last, now); last = now;
  }
  host.addEventListener("pointerdown", down, true); host.addEventListener("pointermove", move, true);
  for (const end of ["pointerup", "pointercancel"]) host.addEventListener(end, () => { last = null; }, true);

  return {
    get active() { return canvas !== null; },
    get changed() { return changed; },
    get erases() { return erases; },
    /** Begin with the white parts of a grey picture, or empty. */
    start(mask = null) {
      const { width, height } = slider.size;
      scale = Math.min(1, MOST_SIDE / Math.max(width, height));
      canvas = document.createElement("canvas"); canvas.className = "brush";
      canvas.width = Math.round(width * scale); canvas.height = Math.round(height * scale);
      context = canvas.getContext("2d", { willReadFrequently: true });
      if (mask) {
        context.drawImage(mask, 0, 0, canvas.width, canvas.height);
        const pixels = context.getImageData(0, 0, canvas.width, canvas.height), data = pixels.data;
        for (let at = 0; at < data.length; at += 4) data.set(data[at] >= 128 ? [255, 40, 80, 255] : [0, 0, 0, 0], at);
        context.putImageData(pixels, 0, 0);
      }
      cursor = document.createElement("div"); cursor.className = "cursor";
      slider.stage.append(canvas, cursor); host.classList.add("brushing");
      changed = false; erases = false; last = null; show({ x: width / 2, y: height / 2 });
    },
    stop() { canvas?.remove(); cursor?.remove(); canvas = cursor = null; changed = false; host.classList.remove("brushing"); },
    setErases(on) { erases = on; },
    setSize(pixels) { size = pixels; if (canvas) show(place); },
    /** Move by steps of a third of the brush; with `paints`, paint on the way. */
    step(dx, dy, paints = false) {
      const before = place, far = Math.max(1, size / 3);
      show({ x: place.x + dx * far, y: place.y + dy * far });
      if (paints) stamp(before, place);
    },
    dab() { stamp(place, place); },
    /** The mask as PNG in base64. */
    encode() { return canvas.toDataURL("image/png").split(",")[1]; },
  };
}
