// The grid of a run's pictures, its filters, and the way from one picture to the next.

import { decide, get, nameReviewer, post, reviewer } from "./api.js";
import { createViewer } from "./viewer.js";

const PAGE = 60;
const SAID_AT_ONCE = 3; // sentences about what is proven, up to when to stop; the others leave room for the pictures
const NAMES = { undecided: "", accepted: "accepted", rejected: "rejected", redo: "redo", redone: "look again" };
const $ = id => document.getElementById(id);
const grid = $("grid"), form = $("filter");
let start = 0, total = 0, shown = [], viewer = null, loading = 0;

const say = text => { $("message").textContent = text; $("said").textContent = text; };
function query() {
  const values = Object.fromEntries([...new FormData(form)].filter(([, value]) => value !== ""));
  return values;
}

function card(picture) {
  const item = document.createElement("li"), button = document.createElement("button");
  button.type = "button"; button.className = "card"; button.dataset.id = picture.id;
  const image = new Image();
  image.loading = "lazy"; image.decoding = "async"; image.alt = ""; image.src = `/api/pictures/${picture.id}/thumbnail?version=${picture.version}`;
  const path = document.createElement("span"), name = document.createElement("bdi"), facts = document.createElement("span");
  path.className = "path"; name.textContent = picture.path; path.append(name); path.title = picture.path;
  facts.className = "facts"; facts.innerHTML = "<span></span><span></span>";
  facts.children[0].textContent = `${picture.verdict.replaceAll("_", " ")}, doubt ${picture.doubt.toFixed(2)}`;
  button.append(image, path, facts); item.append(button);
  mark(button, picture);
  return item;
}
function mark(button, picture) {
  const status = button.querySelector(".facts").children[1];
  status.className = `status ${picture.status}`; status.textContent = NAMES[picture.status];
  button.classList.toggle("held", Boolean(picture.held_by));
  button.setAttribute("aria-label", `${picture.path}, ${picture.verdict}, doubt ${picture.doubt.toFixed(2)}, ${NAMES[picture.status] || "undecided"}${picture.held_by ? `, ${picture.held_by} is looking at it` : ""}`);
}

async function load() {
  const turn = ++loading;
  let page;
  try { page = await get(`/api/pictures?${new URLSearchParams({ ...query(), start, count: PAGE })}`); } catch (error) { say(error.message); return; }
  if (turn !== loading) return;
  total = page.total; shown = page.pictures;
  grid.replaceChildren(...shown.map(card));
  $("place").textContent = total ? `${(start + 1).toLocaleString("en")} to ${(start + shown.length).toLocaleString("en")} of ${total.toLocaleString("en")}` : "none";
  $("back").disabled = start === 0; $("on").disabled = start + PAGE >= total;
  grid.dataset.loaded = turn;
  requestAnimationFrame(() => requestAnimationFrame(() => performance.mark("first-screen")));
}
const turnPage = by => { const wanted = start + by * PAGE; if (wanted >= 0 && wanted < total) { start = wanted; return load().then(() => scrollTo(0, 0)); } };

function showStanding(standing) {
  const words = Object.entries(standing.status).filter(([, count]) => count).map(([name, count]) => `${count.toLocaleString("en")} ${name}`);
  $("counts").textContent = words.join(", ");
  const sample = standing.sample, parts = [];
  if (sample) {
    const bar = document.createElement("div"), part = document.createElement("span");
    bar.className = "bar"; part.style.width = `${100 * sample.decided / Math.max(1, sample.draws)}%`; bar.append(part); parts.push(bar);
  }
  const lines = [...(sample?.words ?? []), ...standing.agreement].map(text => Object.assign(document.createElement("p"), { textContent: text, className: "" }));
  const more = lines.slice(SAID_AT_ONCE), details = document.createElement("details");
  details.open = $("proven").querySelector("details")?.open ?? false;
  details.append(Object.assign(document.createElement("summary"), { textContent: "More" }), ...more);
  $("proven").replaceChildren(...lines.slice(0, 1), ...parts, ...lines.slice(1, SAID_AT_ONCE), ...(more.length ? [details] : []));
}

function onDecided(result) {
  showStanding(result);
  const button = grid.querySelector(`[data-id="${result.picture.id}"]`);
  if (button) mark(button, result.picture);
}

function named() {
  if (reviewer()) return true;
  if (viewer.isOpen) viewer.close();
  say("say who you are first"); $("who").focus();
  return false;
}
async function open(id) { if (named()) await viewer.open(id); }
async function next(after = "") {
  if (!named()) return;
  const { picture } = await post("/api/next", { query: query(), after });
  if (picture) return viewer.open(picture);
  if (viewer.isOpen) await viewer.close();
  say("nothing is left to decide here"); load();
}
function onMove(by) {
  const at = shown.findIndex(picture => picture.id === viewer.id) + by;
  if (shown[at]) open(shown[at].id);
}

async function quick(action, button) {
  if (!named()) return;
  try { onDecided(await decide({ picture: button.dataset.id, action })); say(`${action}: ${button.querySelector(".path").title}`); }
  catch (error) { say(error.message); return; }
  post(`/api/pictures/${button.dataset.id}/give-back`).catch(() => {});
  (button.parentNode.nextElementSibling?.firstElementChild ?? button).focus();
}
function move(key, from) {
  const buttons = [...grid.querySelectorAll("button")], at = buttons.indexOf(from);
  const columns = getComputedStyle(grid).gridTemplateColumns.split(" ").length;
  const to = at < 0 ? 0 : at + { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[key];
  buttons[to]?.focus();
}

addEventListener("keydown", event => {
  if ($("help").open) return;
  if (event.key === "?" && !event.target.matches("input:not([type=range]), textarea")) { event.preventDefault(); $("help").showModal(); return; }
  if (viewer?.isOpen) { if (viewer.key(event)) event.preventDefault(); return; }
  if (event.target.matches("input, select, textarea")) { if (event.key === "Escape") event.target.blur(); return; }
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const onCard = event.target.closest(".card");
  if (event.key.startsWith("Arrow")) { event.preventDefault(); move(event.key, onCard); }
  else if (event.key === "/") { event.preventDefault(); form.elements.path.focus(); }
  else if (event.key === ",") turnPage(-1);
  else if (event.key === ".") turnPage(1);
  else if (event.key === "u") { event.preventDefault(); next(); }
  else if (onCard && event.key === "a") quick("accept", onCard);
  else if (onCard && event.key === "x") quick("reject", onCard);
});
grid.addEventListener("click", event => { const button = event.target.closest(".card"); if (button) open(button.dataset.id); });
$("back").addEventListener("click", () => turnPage(-1)); $("on").addEventListener("click", () => turnPage(1));
$("start").addEventListener("click", () => next());
$("help-button").addEventListener("click", () => $("help").showModal()); $("help-close").addEventListener("click", () => $("help").close());
let typing = 0;
form.addEventListener("input", event => { clearTimeout(typing); typing = setTimeout(() => { start = 0; load(); }, event.target.matches("[type=search], [type=number]") ? 200 : 0); });
form.addEventListener("reset", () => setTimeout(() => { start = 0; load(); }));
form.addEventListener("submit", event => event.preventDefault());
$("who").value = reviewer();
$("who").addEventListener("input", () => { nameReviewer($("who").value); say(""); });
$("viewer").addEventListener("close", () => { load(); });

async function begin() {
  if (new URLSearchParams(location.search).get("sampled") === "1") form.elements.sampled.defaultChecked = true;
  if (matchMedia("(max-width: 46rem)").matches) $("filters").open = false;
  const [run] = await Promise.all([get("/api/run"), load()]);
  document.title = `cleanplate review: ${run.dest}`;
  for (const [name, values] of Object.entries(run.facets)) {
    const select = form.elements[name];
    select.append(new Option("any", ""), ...Object.entries(values).map(([value, count]) => new Option(`${value} (${count.toLocaleString("en")})`, value)));
    select.disabled = Object.keys(values).length === 0;
  }
  form.elements.status.append(...run.statuses.map(status => new Option(NAMES[status] || status, status)));
  $("sampled-label").hidden = !run.sample;
  showStanding(run);
  viewer = createViewer({ rungs: run.rungs, say, onDecided, onMove, next });
  const rest = new URLSearchParams(location.search);
  for (const name of ["token", "who"]) rest.delete(name); // a name that was changed must not come back with the next load
  history.replaceState(null, "", location.pathname + (rest.size ? `?${rest}` : ""));
  document.body.dataset.ready = "yes";
  setInterval(() => get("/api/standing").then(showStanding).catch(() => {}), 15_000);
}
begin().catch(error => say(error.message));
