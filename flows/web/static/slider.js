// A picture before and after with a bar between them: drag, zoom to 400 %, or see the difference.

export const MOST_ZOOM = 4;
const STEP = 2; // per cent of the width for one press of an arrow key

/**
 * Build a slider in `host`. Everything that lies over the picture goes into `stage`, whose size is
 * that of the picture in its own pixels.
 * @param {HTMLElement} host
 * @param {{onZoom?: (zoom: number) => void}} options
 */
export function createSlider(host, options = {}) {
  host.classList.add("slider");
  host.innerHTML = `<div class="stage"><div class="pair"><img class="after" alt=""><img class="before" alt=""></div></div>
    <button class="bar" type="button" role="slider" aria-label="how much is shown of the picture before"
      aria-valuemin="0" aria-valuemax="100"></button><span class="tag left">before</span><span class="tag right">after</span>`;
  const stage = host.querySelector(".stage"), bar = host.querySelector(".bar");
  const before = host.querySelector(".before"), after = host.querySelector(".after");
  const [left, right] = host.querySelectorAll(".tag");
  let width = 1, height = 1, zoom = 1, x = 0, y = 0, cut = 50, fitted = true;

  const fit = () => Math.min(host.clientWidth / width, host.clientHeight / height, 1) || 1;
  function draw() {
    const wide = width * zoom, high = height * zoom;
    x = wide <= host.clientWidth ? (host.clientWidth - wide) / 2 : Math.min(0, Math.max(host.clientWidth - wide, x));
    y = high <= host.clientHeight ? (host.clientHeight - high) / 2 : Math.min(0, Math.max(host.clientHeight - high, y));
    stage.style.width = `${width}px`; stage.style.height = `${height}px`;
    stage.style.setProperty("--zoom", zoom); // for lines over the picture that keep their width
    stage.style.transform = `translate(${x}px, ${y}px) scale(${zoom})`;
    host.classList.toggle("crisp", zoom >= 2);
    const at = host.clientWidth * cut / 100;
    bar.style.left = `${at}px`; bar.setAttribute("aria-valuenow", Math.round(cut));
    before.style.setProperty("--cut", `${Math.min(width, Math.max(0, (at - x) / zoom))}px`);
    left.hidden = cut < 4 || host.classList.contains("difference"); right.hidden = cut > 96 || host.classList.contains("difference");
    options.onZoom?.(zoom);
  }
  function zoomTo(wanted, px = host.clientWidth / 2, py = host.clientHeight / 2) {
    const next = Math.min(MOST_ZOOM, Math.max(fit(), wanted));
    x = px - (px - x) * next / zoom; y = py - (py - y) * next / zoom;
    zoom = next; fitted = zoom === fit(); draw();
  }
  const slider = {
    stage,
    /** Show two pictures of one size; resolves when both are there. */
    async show(beforeUrl, afterUrl, label) {
      before.alt = `${label} before`; after.alt = `${label} after`;
      before.src = beforeUrl; after.src = afterUrl;
      await Promise.all([before.decode(), after.decode()]);
      width = after.naturalWidth; height = after.naturalHeight;
      slider.fit();
    },
    get size() { return { width, height }; },
    get zoom() { return zoom; },
    fit() { zoom = fit(); fitted = true; draw(); },
    zoomTo, zoomBy(factor) { zoomTo(zoom * factor); },
    panBy(dx, dy) { x += dx; y += dy; draw(); },
    get cut() { return cut; },
    slide(per_cent) { cut = Math.min(100, Math.max(0, per_cent)); draw(); },
    difference(on = !host.classList.contains("difference")) { host.classList.toggle("difference", on); draw(); return on; },
    /** The place of a pointer in pixels of the picture. */
    at(event) { const box = host.getBoundingClientRect(); return { x: (event.clientX - box.left - x) / zoom, y: (event.clientY - box.top - y) / zoom }; },
  };

  bar.addEventListener("keydown", event => {
    const move = { ArrowLeft: -STEP, ArrowRight: STEP, Home: -100, End: 100 }[event.key];
    if (move === undefined) return;
    event.preventDefault(); event.stopPropagation(); slider.slide(cut + move);
  });
  const pointers = new Map();
  let dragsBar = false;
  host.addEventListener("pointerdown", event => {
    if (event.defaultPrevented || event.button) return;
    dragsBar = event.target === bar || zoom <= fit();
    pointers.set(event.pointerId, event); host.setPointerCapture(event.pointerId);
    if (dragsBar && pointers.size === 1) slider.slide(100 * (event.clientX - host.getBoundingClientRect().left) / host.clientWidth);
  });
  host.addEventListener("pointermove", event => {
    const last = pointers.get(event.pointerId);
    if (!last) return;
    if (pointers.size === 2) {
      const [other] = [...pointers.values()].filter(each => each.pointerId !== event.pointerId), box = host.getBoundingClientRect();
      const apart = each => Math.hypot(each.clientX - other.clientX, each.clientY - other.clientY);
      zoomTo(zoom * apart(event) / Math.max(1, apart(last)), (event.clientX + other.clientX) / 2 - box.left, (event.clientY + other.clientY) / 2 - box.top);
    } else if (dragsBar) slider.slide(100 * (event.clientX - host.getBoundingClientRect().left) / host.clientWidth);
    else slider.panBy(event.clientX - last.clientX, event.clientY - last.clientY);
    pointers.set(event.pointerId, event);
  });
  for (const end of ["pointerup", "pointercancel"]) host.addEventListener(end, event => pointers.delete(event.pointerId));
  host.addEventListener("wheel", event => {
    event.preventDefault();
    const box = host.getBoundingClientRect();
    zoomTo(zoom * 1.0015 ** -event.deltaY, event.clientX - box.left, event.clientY - box.top);
  }, { passive: false });
  new ResizeObserver(() => { if (fitted) slider.fit(); else draw(); }).observe(host);
  return slider;
}
