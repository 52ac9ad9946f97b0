/* Label Studio's editor, in a sandboxed frame, as an editor of this page: what our own editors cannot ask.

   The page keeps the answer as it was said last, so that drafts, the outbox and undo work as with every editor. */

const PATIENCE_MS = 10_000;

export class Foreign {
  missing = "Answer what is asked first.";
  /** Takes long enough to answer that drafts are also kept on the server. */
  slow = true;
  #frame;
  #page;
  #turn = null;
  #value = null;
  #loads = 0;
  #ready;
  #checks = new Map();

  /** page: the dataset of #labeling. */
  constructor(page) {
    this.#page = page;
    this.#frame = document.querySelector("#foreign");
    this.#ready = new Promise((resolve) => {
      addEventListener("message", (event) => {
        if (event.source === this.#frame.contentWindow) this.#hear(event.data, resolve);
      });
    });
    this.#frame.src = this.#frame.dataset.src;
  }

  /** The task that `set` is about. */
  about(turn) {
    this.#turn = turn;
  }

  set(value) {
    this.#value = Array.isArray(value) ? value : value === null ? [] : this.#long(value);
    this.#loads += 1;
    this.#load(this.#turn, this.#value, this.#loads);
  }

  get value() {
    return this.#turn === null ? null : this.#value;
  }

  get said() {
    return saidOf(this.#value ?? []);
  }

  describe(value) {
    return saidOf(Array.isArray(value) ? value : this.#long(value));
  }

  press() {
    return false;
  }

  step() {}

  /** Whether all that is required has been answered; the editor itself says what is not. */
  settle() {
    const number = this.#checks.size + 1;
    return new Promise((resolve) => {
      this.#checks.set(number, resolve);
      this.#frame.contentWindow.postMessage({ validate: number }, "*");
      setTimeout(() => resolve(false), PATIENCE_MS);
    });
  }

  /** The region that a value alone stands for. */
  #long(value) {
    const { control, to, type } = this.#page;
    return [{ from_name: control, to_name: to, type, value }];
  }

  async #load(turn, result, load) {
    const data = await withFiles(turn.data);
    await this.#ready;
    if (load !== this.#loads) return; // another task, or another answer to it, has been asked for meanwhile
    // The frame has an origin of its own, which has no name; the page's policy lets it hold nothing but our document.
    const task = { id: turn.id, data };
    this.#frame.contentWindow.postMessage({ show: { config: this.#page.config, task, result } }, "*");
  }

  #hear(message, ready) {
    if (message.ready) ready();
    if (message.height) this.#frame.height = Math.min(Math.max(message.height, 320), 2_000);
    if (message.result) {
      this.#value = message.result;
      this.#frame.dispatchEvent(new Event("change", { bubbles: true }));
    }
    if (message.valid) this.#checks.get(message.valid)?.(message.ok);
    if (message.key) this.#frame.dispatchEvent(new KeyboardEvent("keydown", { ...message.key, bubbles: true }));
    if (message.shown) {
      this.#frame.dataset.shown = message.shown;
      this.#frame.focus({ preventScroll: true }); // so that its keys work at once; those it leaves alone come back
    }
    if (message.broken) this.#frame.dispatchEvent(new CustomEvent("broken", { detail: message.broken, bubbles: true }));
  }
}

function saidOf(result) {
  const labels = [...new Set(result.flatMap(({ type, value }) => named(value?.[type])))];
  const count = result.length === 1 ? "1 region" : `${result.length} regions`;
  return labels.length ? `${count} (${labels.slice(0, 5).join(", ")})` : count;
}

const named = (labels) => (Array.isArray(labels) ? labels.filter((label) => typeof label === "string") : []);

/** The data with files of this service in place of their addresses. */
async function withFiles(data) {
  const entries = await Promise.all(
    Object.entries(data).map(async ([name, value]) => [name, await fileOf(value)]),
  );
  return Object.fromEntries(entries);
}

async function fileOf(value) {
  if (typeof value !== "string" || !/^\/projects\/\d+\/images\/\d+$/.test(value)) return value;
  try {
    const answer = await fetch(value, { credentials: "same-origin" });
    return answer.ok ? await answer.blob() : value;
  } catch {
    return value;
  }
}
