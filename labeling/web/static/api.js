/* Talks to /v1. Every failure is one of two: Offline (no answer came, try again later) or Problem (the server said no). */

const PATIENCE_MS = 15_000;

export class Offline extends Error {}

export class Problem extends Error {
  constructor(status, body) {
    super(body.detail || body.title || `The server answered ${status}.`);
    this.status = status;
    this.type = body.type || "about:blank";
  }

  /** Whether sending the same again later may work: the server is busy or down, or the person must sign in again. */
  get passing() {
    return this.status >= 500 || [401, 403, 408, 429].includes(this.status);
  }
}

export class Api {
  constructor(base, csrf) {
    this.base = base;
    this.csrf = csrf;
  }

  next(holding) {
    return this.#send("POST", "/next", { holding });
  }

  /** holding: the tasks that are here, if the next one is to come with the reply; null if none is wanted. */
  answer(task, value, seconds, holding) {
    return this.#send("PUT", `/tasks/${task}/annotation`, { value, seconds, ...(holding && { holding }) });
  }

  keepDraft(task, value) {
    return this.#send("PUT", `/tasks/${task}/draft`, { value });
  }

  skip(task) {
    return this.#send("POST", `/tasks/${task}/skip`, {});
  }

  undo(task) {
    return this.#send("POST", "/undo", task === null ? {} : { task });
  }

  returnSkipped() {
    return this.#send("DELETE", "/skips", {});
  }

  comments(task) {
    return this.#send("GET", `/tasks/${task}/comments`);
  }

  comment(task, text, flag) {
    return this.#send("POST", `/tasks/${task}/comments`, { text, flag });
  }

  async #send(method, path, body) {
    let response;
    try {
      response = await fetch(this.base + path, {
        method,
        headers: { "Content-Type": "application/json", Accept: "application/json", "X-CSRF-Token": this.csrf },
        body: body && JSON.stringify(body),
        credentials: "same-origin",
        signal: AbortSignal.timeout(PATIENCE_MS),
      });
    } catch (error) {
      throw new Offline(error.message);
    }
    const type = response.headers.get("Content-Type") || "";
    const content = type.includes("json") ? await response.json().catch(() => ({})) : {};
    if (!response.ok) throw new Problem(response.status, content);
    return content;
  }
}
