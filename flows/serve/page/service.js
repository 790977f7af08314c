// Requests to the service. A full queue or a limit on the rate is waited for.

const MOST_WAITS = 20;
let token = "";

export class Refused extends Error {
  constructor(status, code, message) { super(message); this.status = status; this.code = code; }
}

export function setToken(value) { token = value; }

/** Send a form; the answer is a Response that is fine. */
export async function ask(path, form, accept) {
  for (let wait = 0; ; wait++) {
    const sent = token;
    const headers = { Accept: accept, ...(sent ? { Authorization: `Bearer ${sent}` } : {}) };
    let answer;
    try { answer = await fetch(path, { method: "POST", body: form, headers }); }
    catch { throw new Refused(503, "", "The service does not answer."); }
    if (answer.ok) return answer;
    if (answer.status === 401 && sent !== token) continue; // another one was entered meanwhile
    if (answer.status === 429 && wait < MOST_WAITS) {
      await new Promise(done => setTimeout(done, 1000 * Number(answer.headers.get("Retry-After") || 1)));
      continue;
    }
    const { error } = await answer.json().catch(() => ({ error: { code: "answer_unreadable", message: answer.statusText } }));
    throw new Refused(answer.status, error.code, error.message);
  }
}
