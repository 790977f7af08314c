// One picture: before and after, its regions and masks, and what is decided about it.

import { createSlider } from "/shared/slider.js";
import { decide as store, get, post } from "./api.js";
import { createBrush } from "./brush.js";

const CHANNELS = ["", "core", "blend", "confidence", "structure"];
const RENEW_MS = 30_000;
const $ = id => document.getElementById(id);
const element = (tag, properties = {}, ...children) => { const made = Object.assign(document.createElement(tag), properties); made.append(...children); return made; };

export function createViewer({ rungs, say, onDecided, onMove, next }) {
  const dialog = $("viewer"), slider = createSlider($("slider"), { onZoom: zoom => { $("zoom").textContent = `${Math.round(zoom * 100)} %`; } });
  const brush = createBrush($("slider"), slider);
  let picture = null, region = null, outlines = true, channel = 0, renewal = 0, opening = 0;
  $("rung").append(...rungs.map(rung => element("option", { textContent: rung })));

  const url = name => `/api/pictures/${picture.id}/${name}?version=${picture.version}`;
  const press = (id, on) => $(id).setAttribute("aria-pressed", on);

  async function open(id) {
    const turn = ++opening;
    await release();
    try {
      await post(`/api/pictures/${id}/hold`);
      $("held").textContent = "";
    } catch (error) { $("held").textContent = error.message; }
    const loaded = await get(`/api/pictures/${id}`);
    if (turn !== opening) return;
    picture = loaded; region = null; channel = 0; brush.stop(); closeRedo(); $("why").value = "";
    if (!dialog.open) dialog.showModal();
    clearInterval(renewal);
    renewal = setInterval(() => post(`/api/pictures/${id}/hold`).catch(error => { $("held").textContent = error.message; }), RENEW_MS);
    slider.difference(false); press("difference", false);
    describe();
    try {
      await slider.show(url("before"), url("after"), picture.path);
      draw();
    } catch { if (turn === opening) say("this picture cannot be shown in a browser"); }
    dialog.dataset.shown = id;
  }

  async function release() {
    clearInterval(renewal);
    delete dialog.dataset.shown;
    if (picture) post(`/api/pictures/${picture.id}/give-back`, {}, { keepalive: true }).catch(() => {});
  }
  async function close() { await release(); picture = null; brush.stop(); dialog.close(); }

  function describe() {
    $("title").textContent = picture.path;
    $("verdict").textContent = `${picture.verdict}, doubt ${picture.doubt.toFixed(2)}, ${picture.bucket}`;
    $("decided").replaceChildren(...picture.decisions.map(each => element("p", {
      textContent: `${each.who}: ${each.action} ${each.region === null ? "the picture" : `region ${each.region + 1}`}${each.rung ? ` by ${each.rung}` : ""}${each.mask ? " with a mask" : ""}${each.why ? ` (${each.why})` : ""}` })));
    const choices = [[null, "the whole picture", ""], ...picture.regions.filter(each => each.origin !== "review").map(each =>
      [each.number, `region ${each.number + 1}: ${each.state}`, [each.kind, each.text, each.rung && `by ${each.rung}`, each.reason].filter(Boolean).join(", ")])];
    $("regions").replaceChildren(...choices.map(([number, name, more]) => {
      const button = element("button", { type: "button", textContent: more ? `${name} (${more})` : name });
      button.setAttribute("role", "radio"); button.setAttribute("aria-checked", number === region); button.tabIndex = number === region ? 0 : -1;
      button.addEventListener("click", () => choose(number));
      return button;
    }));
    const chosen = picture.regions.find(each => each.number === region);
    const lines = chosen ? [] : [...picture.reasons, ...picture.notes, ...(picture.failure ? [`${picture.failure.code}: ${picture.failure.message}`] : [])];
    const rows = (chosen?.checks ?? []).map(check => element("tr", { className: check.passed ? "" : "failed" }, ...[check.rung, check.name, check.value ?? "-", `≤ ${check.limit ?? "-"}`].map(text => element("td", { textContent: text }))));
    $("details").replaceChildren(...lines.map(text => element("p", { textContent: text, className: "quiet" })), ...(rows.length ? [element("table", {}, element("tbody", {}, ...rows))] : []));
  }

  function draw() {
    slider.stage.querySelectorAll("svg, .channel").forEach(each => each.remove());
    const { width, height } = slider.size;
    if (CHANNELS[channel]) veil(CHANNELS[channel]);
    if (!outlines) return;
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("viewBox", `-0.5 -0.5 ${width} ${height}`); svg.setAttribute("aria-hidden", "true");
    for (const each of picture.regions) for (const corners of each.polygons) {
      const polygon = document.createElementNS(svg.namespaceURI, "polygon");
      polygon.setAttribute("points", corners.map(corner => corner.join(",")).join(" "));
      polygon.setAttribute("class", `${each.state} ${each.number === region ? "chosen" : ""}`);
      svg.append(polygon);
    }
    slider.stage.append(svg);
  }

  /** Lay a channel of the mask over the picture, as soon as the server has made it. */
  async function veil(name) {
    const address = `${url(`masks/${name}`)}${region === null ? "" : `&region=${region}`}`, mask = new Image();
    mask.src = address;
    say(`making the mask channel ${name} ...`);
    try { await mask.decode(); } catch { say("the run's mask cannot be made here"); return; }
    if (!picture || CHANNELS[channel] !== name || !address.startsWith(url(`masks/${name}`))) return;
    say(`mask channel ${name}`);
    slider.stage.querySelectorAll(".channel").forEach(each => each.remove());
    const laid = element("div", { className: "channel" });
    laid.style.maskImage = `url("${address}")`;
    slider.stage.append(laid);
  }

  function choose(number) {
    region = number; brush.stop(); press("brush", false); describe(); draw();
    $("regions").querySelector('[aria-checked="true"]').focus({ preventScroll: false });
  }
  function step(by) {
    const numbers = [null, ...picture.regions.filter(each => each.origin !== "review").map(each => each.number)];
    choose(numbers[(numbers.indexOf(region) + by + numbers.length) % numbers.length]);
  }

  function openRedo() { $("redo-form").hidden = false; $("redo").setAttribute("aria-expanded", "true"); $("rung").focus(); }
  function closeRedo() { $("redo-form").hidden = true; $("redo").setAttribute("aria-expanded", "false"); brush.stop(); press("brush", false); press("eraser", false); }

  async function toggleBrush() {
    if (brush.active) { brush.stop(); press("brush", false); return; }
    if ($("redo-form").hidden) openRedo();
    const mask = new Image();
    say("making the mask of the run ...");
    mask.src = `${url("masks/core")}${region === null ? "" : `&region=${region}`}`;
    try { await mask.decode(); say(""); brush.start(mask); } catch { say("the run's mask cannot be made here; paint a new one"); brush.start(); }
    press("brush", true); press("eraser", false); $("brush").focus();
  }

  async function decide(action, more = {}) {
    const about = { picture: picture.id, region, action, why: $("why").value.trim(), ...more };
    let result;
    try { result = await store(about); } catch (error) { say(error.message); return; }
    say(`${action}: ${picture.path}${region === null ? "" : `, region ${region + 1}`}`);
    onDecided(result);
    if (region === null || action === "redo") { await next(picture.id); return; }
    picture = await get(`/api/pictures/${picture.id}`);
    describe();
  }
  function redo() {
    const seed = $("seed").value.trim();
    decide("redo", { rung: $("rung").value, seed: seed === "" ? null : Number(seed), mask: brush.active ? brush.encode() : null });
  }

  const keys = {
    a: () => decide("accept"), x: () => decide("reject"), r: () => $("redo-form").hidden ? openRedo() : closeRedo(),
    b: toggleBrush, e: () => { brush.setErases(!brush.erases); press("eraser", brush.erases); }, w: () => $("why").focus(),
    "[": () => step(-1), "]": () => step(1), n: () => onMove(1), p: () => onMove(-1), u: () => next(picture.id),
    "+": () => slider.zoomBy(1.25), "=": () => slider.zoomBy(1.25), "-": () => slider.zoomBy(0.8), 0: () => slider.fit(), 1: () => slider.zoomTo(1), 2: () => slider.zoomTo(2), 4: () => slider.zoomTo(4),
    d: () => press("difference", slider.difference()), g: () => { outlines = !outlines; press("outlines", outlines); draw(); },
    m: () => { channel = (channel + 1) % CHANNELS.length; press("channel", channel > 0); say(""); draw(); },
    " ": () => slider.slide(slider.cut < 50 ? 100 : 0), ArrowLeft: () => slider.slide(slider.cut - 2), ArrowRight: () => slider.slide(slider.cut + 2),
  };
  const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  function key(event) {
    const inForm = event.target.closest("#redo-form"), types = event.target.matches("input:not([type=range]), select, textarea");
    if (event.key === "Escape") { event.preventDefault(); if (types) event.target.blur(); else if (!$("redo-form").hidden) closeRedo(); else close(); return true; }
    if (types) return event.key === "Enter" && !inForm ? (event.target.blur(), true) : false;
    if (event.ctrlKey || event.metaKey || event.altKey) return false;
    if (brush.active && arrows[event.key]) { brush.step(...arrows[event.key], event.shiftKey); return true; }
    if (brush.active && event.key === " ") { brush.dab(); return true; }
    if (brush.active && event.key === "Enter") { redo(); return true; }
    if (brush.active && ",.".includes(event.key)) { $("size").value = Number($("size").value) * (event.key === "." ? 1.25 : 0.8); brush.setSize(Number($("size").value)); return true; }
    if (event.shiftKey && arrows[event.key]) { slider.panBy(...arrows[event.key].map(each => -60 * each)); return true; }
    if (event.target.matches("button") && (event.key === " " || event.key === "Enter")) return false;
    if (!keys[event.key]) return false;
    keys[event.key](); return true;
  }
  dialog.addEventListener("click", event => { const button = event.target.closest("button[data-key]"); if (button) keys[button.dataset.key](); });
  dialog.addEventListener("cancel", event => event.preventDefault());
  $("close").addEventListener("click", close);
  $("redo-form").addEventListener("submit", event => { event.preventDefault(); redo(); });
  $("size").addEventListener("input", () => brush.setSize(Number($("size").value)));
  addEventListener("pagehide", release);
  return { open, close, key, get isOpen() { return dialog.open; }, get id() { return picture?.id; } };
}
