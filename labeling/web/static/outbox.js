/* What was answered and is not yet on the server. It lies in localStorage, one key per task, until the server has
   said that it is stored: a reload, a closed tab or a lost connection loses nothing. Keys carry the person and the
   project, so that nobody's answers are ever sent as somebody else's. */

import { Offline } from "./api.js";

const RETRY_MS = [500, 1_000, 2_000, 5_000, 10_000];

export class Outbox extends EventTarget {
  #api;
  #prefix;
  #holding;
  #sending = null;
  #failures = 0;
  #timer = null;

  /** holding: says, of the task whose answer is being sent, what `api.answer` wants to know. */
  constructor(api, prefix, holding) {
    super();
    this.#api = api;
    this.#holding = holding;
    this.#prefix = `${prefix}.unsent.`;
    this.reason = null;
    addEventListener("online", () => this.flush());
  }

  /** Turns not yet stored by the server, oldest first. */
  get turns() {
    const found = [];
    for (let index = 0; index < localStorage.length; index += 1) {
      const key = localStorage.key(index);
      if (!key.startsWith(this.#prefix)) continue;
      try {
        found.push(JSON.parse(localStorage.getItem(key)));
      } catch {
        localStorage.removeItem(key);
      }
    }
    return found.sort((one, other) => one.at - other.at);
  }

  get tasks() {
    return this.turns.map((turn) => turn.task);
  }

  /** Keep a turn and send it. Returns at once. */
  put(turn) {
    localStorage.setItem(this.#prefix + turn.task, JSON.stringify({ ...turn, at: Date.now() }));
    this.#tell("change");
    this.flush();
  }

  /** Send what there is; settles when nothing is left or the server can't be reached. */
  flush() {
    clearTimeout(this.#timer);
    this.#sending ??= this.#sendAll().finally(() => {
      this.#sending = null;
      this.#tell("change");
    });
    return this.#sending;
  }

  async #sendAll() {
    await null; // until whoever puts a turn here has the next task on screen
    for (let turn = this.turns[0]; turn; turn = this.turns[0]) {
      try {
        const answer = turn.skip
          ? await this.#api.skip(turn.task)
          : await this.#api.answer(turn.task, turn.value, turn.seconds, this.#holding(turn.task));
        this.#done(turn);
        this.#tell("sent", answer);
      } catch (error) {
        if (!(error instanceof Offline) && !error.passing) {
          this.#done(turn);
          this.#tell("refused", { turn, error });
          continue;
        }
        this.reason = error;
        this.#timer = setTimeout(() => this.flush(), RETRY_MS[Math.min(this.#failures, RETRY_MS.length - 1)]);
        this.#failures += 1;
        return;
      }
    }
  }

  /** Forget the turn, unless the person has changed their mind while it was on its way. */
  #done(turn) {
    this.reason = null;
    this.#failures = 0;
    const key = this.#prefix + turn.task;
    const kept = JSON.parse(localStorage.getItem(key) || "null");
    if (kept && kept.at === turn.at) localStorage.removeItem(key);
  }

  #tell(type, detail = null) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
