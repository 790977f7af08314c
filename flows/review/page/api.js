// Requests to the server of the review. Every request says from which seat and by whom it is.

const SEAT = "cleanplate-seat", WHO = "cleanplate-reviewer";
export const seat = sessionStorage.getItem(SEAT) ?? crypto.getRandomValues(new Uint32Array(4)).join("");
sessionStorage.setItem(SEAT, seat);

let name = new URLSearchParams(location.search).get("who") || sessionStorage.getItem(WHO) || localStorage.getItem(WHO) || "";
export const reviewer = () => name;
export function nameReviewer(wanted) { name = wanted.trim(); for (const kept of [sessionStorage, localStorage]) kept.setItem(WHO, name); }
nameReviewer(name);

const headers = () => ({ "X-Seat": seat, "X-Reviewer": encodeURIComponent(name) });

async function answer(response) {
  const content = await response.json().catch(() => ({ error: `the server answered ${response.status}` }));
  if (!response.ok) throw Object.assign(new Error(content.error), { status: response.status });
  return content;
}

export async function get(path) { return answer(await fetch(path, { headers: headers() })); }

/** Store a decision, which has an id of its own, so that a request that is repeated stores it once. */
export function decide(content) {
  const decision_id = [...crypto.getRandomValues(new Uint32Array(4))].map(part => part.toString(16).padStart(8, "0")).join("");
  return post("/api/decisions", { decision_id, ...content });
}

/** Send JSON; a connection that breaks is tried again, which is safe because decisions have ids. */
export async function post(path, content = {}, options = {}) {
  for (let attempt = 0; ; attempt++) {
    try {
      return answer(await fetch(path, { method: "POST", headers: { ...headers(), "Content-Type": "application/json" }, body: JSON.stringify(content), ...options }));
    } catch (error) {
      if (!(error instanceof TypeError) || attempt >= 4) throw error.status ? error : new Error("the server does not answer; look again before you go on, the last decision may not be stored");
      await new Promise(done => setTimeout(done, 300 * 2 ** attempt));
    }
  }
}
