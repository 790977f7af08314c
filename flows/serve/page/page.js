// The page: pictures come in, each gets a card with its boxes, and goes out without what was chosen.

import { createSlider } from "/shared/slider.js";
import { ask, setToken } from "/page/service.js";

const AT_ONCE = 2; // pictures that this page has worked at the same time
const LEAST_BOX = 4; // pixels of the picture
const list = document.querySelector("#pictures"), template = document.querySelector("#card");
const status = document.querySelector("#status"), drop = document.querySelector("#drop");
const waiting = [];
const refused = []; // work that waits for the right token
let running = 0, number = 0;

/** Run work one after another, a few at the same time. */
function queue(work) {
  waiting.push(work);
  next();
}
function next() {
  if (running >= AT_ONCE || !waiting.length) return;
  running++;
  waiting.shift()().finally(() => { running--; next(); });
}

class Card {
  constructor(file) {
    this.file = file;
    this.boxes = []; // {polygons, name, goes, drawn}
    this.root = template.content.firstElementChild.cloneNode(true);
    this.part = name => this.root.querySelector(name);
    this.id = `picture-${++number}`;
    const heading = this.part("h2");
    heading.textContent = file.name; heading.id = this.id;
    this.root.setAttribute("aria-labelledby", this.id);
    this.image = this.part(".look img");
    this.image.alt = `${file.name} as it came`;
    this.shows = true; // whether this browser can show the picture
    this.image.addEventListener("error", () => this.hideView());
    this.url = URL.createObjectURL(file);
    this.image.src = this.url;
    this.part(".erase").addEventListener("click", () => this.start(() => this.size ? this.erase() : this.find()));
    this.part(".draw").addEventListener("click", () => this.setDrawing(!this.drawing));
    this.part(".back").addEventListener("click", () => this.showChoice());
    this.part(".remove").addEventListener("click", () => this.remove());
    this.listenForBoxes();
    list.append(this.root);
    this.start(() => this.find());
  }

  say(text, bad = false) {
    const line = this.part(".state");
    line.textContent = text; line.classList.toggle("bad", bad);
  }

  /** Say what became of the picture, and why it cannot be seen where this browser does not know its format. */
  tell(parts) {
    this.say([...parts, ...(this.shows ? [] : ["this browser cannot show this format, but the download is the whole picture"])].join(" · "));
  }

  start(work) {
    this.say("Waiting");
    this.enable(false);
    queue(async () => {
      try { await work(); }
      catch (error) {
        this.say(PROBLEMS[error.code] ?? `${error.code ? `${error.code}: ` : ""}${error.message}`, true);
        if (error.status === 401) {
          document.querySelector("#token-line").hidden = false;
          refused.push(() => this.start(work));
        }
        const again = error.status >= 500 || [401, 408, 429].includes(error.status);
        this.enable(Boolean(this.size) || again);
        if (!this.size) this.part(".erase").textContent = "Try again";
      }
    });
  }

  enable(on) {
    this.part(".erase").disabled = !on;
    this.part(".draw").disabled = !on || !this.size || !this.shows;
  }

  hideView() {
    this.shows = false;
    this.part(".view").hidden = true; this.part(".draw").disabled = true;
  }

  async find() {
    this.say("Looking for texts");
    const form = new FormData();
    form.append("image", this.file);
    const found = await (await ask("/v1/find", form, "application/json")).json();
    if (found.failure) throw Object.assign(new Error(found.failure.message), { code: found.failure.code, status: 422 });
    this.size = { width: found.width, height: found.height };
    this.boxes = found.regions.map((region, at) => ({ polygons: region.polygons, name: region.text || `Text ${at + 1}`, goes: region.state !== "kept" }));
    this.draw();
    this.part(".erase").textContent = "Erase";
    this.enable(true);
    const none = this.shows ? "No text was found. Draw a box around what is to go." : "No text was found";
    const sure = this.boxes.filter(each => each.goes).length, doubtful = this.boxes.length - sure;
    this.tell([sure ? `${sure} found` : none, ...(doubtful ? [`${doubtful} in doubt`] : [])]);
  }

  async erase() {
    this.say("Erasing");
    const form = new FormData();
    form.append("image", this.file);
    for (const box of this.boxes.filter(each => !each.goes && !each.drawn)) form.append("not_zone", zone(box.polygons));
    const drawn = this.boxes.filter(each => each.goes && each.drawn).map(each => each.box);
    if (drawn.length) form.append("regions", JSON.stringify(drawn));
    const answer = await ask("/v1/erase", form, "image/*");
    const verdict = answer.headers.get("X-Cleanplate-Verdict"), reasons = JSON.parse(answer.headers.get("X-Cleanplate-Reasons") || "[]");
    const result = await answer.blob();
    if (this.resultUrl) URL.revokeObjectURL(this.resultUrl);
    this.resultUrl = URL.createObjectURL(result);
    const link = this.part(".download");
    link.href = this.resultUrl; link.download = this.file.name; link.hidden = false;
    this.root.dataset.verdict = verdict;
    this.tell([VERDICTS[verdict] ?? verdict, ...reasons.map(reason => REASONS[reason] ?? reason)]);
    this.part(".look").hidden = true; this.part(".boxes").hidden = true; this.part(".erase").hidden = true; this.part(".draw").hidden = true;
    this.part(".compare").hidden = !this.shows; this.part(".back").hidden = false;
    if (!this.shows) return;
    this.part(".compare").style.height = `min(70vh, ${Math.max(160, this.size.height)}px)`;
    this.slider ??= createSlider(this.part(".compare"));
    await this.slider.show(this.url, this.resultUrl, this.file.name);
  }

  showChoice() {
    this.part(".look").hidden = false; this.part(".erase").hidden = false; this.part(".draw").hidden = false;
    this.part(".compare").hidden = true; this.part(".back").hidden = true; this.part(".download").hidden = true;
    this.enable(true);
    this.draw();
  }

  remove() {
    for (const url of [this.url, this.resultUrl]) if (url) URL.revokeObjectURL(url);
    this.root.remove();
  }

  draw() {
    const svg = this.part("svg"), items = this.part("ul");
    svg.setAttribute("viewBox", `0 0 ${this.size.width} ${this.size.height}`);
    svg.setAttribute("preserveAspectRatio", "none");
    svg.replaceChildren(); items.replaceChildren();
    this.part(".boxes").hidden = !this.boxes.length;
    this.boxes.forEach((box, at) => {
      const shapes = box.polygons.map(polygon => {
        const shape = document.createElementNS("http://www.w3.org/2000/svg", "polygon");
        shape.setAttribute("points", polygon.map(([x, y]) => `${x + .5},${y + .5}`).join(" "));
        shape.classList.toggle("stays", !box.goes);
        shape.addEventListener("click", () => { if (!this.drawing) { box.goes = !box.goes; this.draw(); } });
        svg.append(shape);
        return shape;
      });
      const item = document.createElement("li"), label = document.createElement("label"), tick = document.createElement("input");
      tick.type = "checkbox"; tick.checked = box.goes; tick.id = `${this.id}-box-${at}`;
      tick.addEventListener("change", () => { box.goes = tick.checked; shapes.forEach(shape => shape.classList.toggle("stays", !box.goes)); });
      for (const [event, on] of [["pointerenter", true], ["pointerleave", false]])
        item.addEventListener(event, () => shapes.forEach(shape => shape.classList.toggle("marked", on)));
      label.append(tick, box.name); item.append(label); items.append(item);
    });
  }

  setDrawing(on) {
    this.drawing = on;
    this.part(".draw").setAttribute("aria-pressed", String(on));
    this.part(".look").classList.toggle("drawing", on);
  }

  /** Pull a box over the picture. */
  listenForBoxes() {
    const look = this.part(".look");
    let from = null, shape = null;
    const place = event => {
      const box = look.getBoundingClientRect();
      const at = (value, most) => Math.min(most, Math.max(0, Math.round(value)));
      return [at((event.clientX - box.left) / box.width * this.size.width, this.size.width), at((event.clientY - box.top) / box.height * this.size.height, this.size.height)];
    };
    const bounds = to => [Math.min(from[0], to[0]), Math.min(from[1], to[1]), Math.abs(to[0] - from[0]), Math.abs(to[1] - from[1])];
    look.addEventListener("pointerdown", event => {
      if (!this.drawing || !this.size || event.button) return;
      event.preventDefault();
      look.setPointerCapture(event.pointerId);
      from = place(event);
      shape = document.createElementNS("http://www.w3.org/2000/svg", "polygon");
      this.part("svg").append(shape);
    });
    look.addEventListener("pointermove", event => {
      if (from) shape.setAttribute("points", corners(bounds(place(event))).map(corner => corner.join(",")).join(" "));
    });
    look.addEventListener("pointercancel", () => { shape?.remove(); from = null; });
    look.addEventListener("pointerup", event => {
      if (!from) return;
      const box = bounds(place(event));
      from = null;
      shape.remove();
      if (box[2] < LEAST_BOX || box[3] < LEAST_BOX) return;
      const count = this.boxes.filter(each => each.drawn).length + 1;
      this.boxes.push({ polygons: [corners([box[0], box[1], box[2] - 1, box[3] - 1])], name: `Drawn box ${count}`, goes: true, drawn: true, box });
      this.setDrawing(false);
      this.draw();
    });
  }
}

const PROBLEMS = {
  not_an_image: "This is not a picture, or its format is not known.",
  truncated: "This file is damaged: it ends too early.",
};
const REASONS = { kept_by_rule: "what is not ticked stays", not_selected: "what is not ticked stays" };
const VERDICTS = {
  edited: "Erased", partly_edited: "Erased in part", untouched: "Nothing to erase: this is the picture as it came",
  rolled_back: "Rolled back: this is the picture as it came", skipped: "Skipped: this is the picture as it came",
};

function corners([x, y, width, height]) { return [[x, y], [x + width, y], [x + width, y + height], [x, y + height]]; }

/** The bounds of polygons as a zone of the command line: x,y:WIDTHxHEIGHT. */
function zone(polygons) {
  const xs = polygons.flat().map(corner => corner[0]), ys = polygons.flat().map(corner => corner[1]);
  const left = Math.max(0, Math.floor(Math.min(...xs))), top = Math.max(0, Math.floor(Math.min(...ys)));
  return `${left},${top}:${Math.ceil(Math.max(...xs)) + 1 - left}x${Math.ceil(Math.max(...ys)) + 1 - top}`;
}

function add(files) {
  const pictures = [...files].filter(file => file.type.startsWith("image/") || !file.type);
  const others = files.length - pictures.length;
  status.textContent = pictures.length ? `${pictures.length} added${others ? `, ${others} left out: not a picture` : ""}` : "There was no picture among these.";
  for (const file of pictures) new Card(file);
}

for (const name of ["files", "camera"]) {
  const input = document.getElementById(name);
  input.addEventListener("change", () => { add(input.files); input.value = ""; });
}
document.addEventListener("dragover", event => { event.preventDefault(); drop.classList.add("over"); });
document.addEventListener("dragleave", event => { if (!event.relatedTarget) drop.classList.remove("over"); });
document.addEventListener("drop", event => { event.preventDefault(); drop.classList.remove("over"); add(event.dataTransfer.files); });
document.addEventListener("paste", event => { if (event.clipboardData.files.length) add(event.clipboardData.files); });
document.querySelector("#token-line").addEventListener("submit", event => event.preventDefault());
document.querySelector("#token").addEventListener("change", event => {
  if (!event.target.value) return;
  setToken(event.target.value);
  document.querySelector("#token-line").hidden = true;
  for (const again of refused.splice(0)) again();
});
