/* Comments on the task on screen: read once they are opened, said or flagged without leaving the task. */

import { Offline } from "./api.js";

export class Comments {
  #api;
  #say;
  #task = null;
  #box = document.querySelector("#comments");
  #text = document.querySelector("#comment-text");
  #flag = document.querySelector("#comment-flag");
  #list = document.querySelector("#comments ul");

  /** say: tells the person something, an error if its second argument is true. */
  constructor(api, say) {
    this.#api = api;
    this.#say = say;
    this.#box.addEventListener("toggle", () => this.#box.open && this.#read(this.#task));
    this.#box.querySelector("form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    this.#box.addEventListener("keydown", (event) => {
      const writes = event.target === this.#text;
      if (writes && event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.#send();
      if (writes && event.key === "Escape") this.#text.blur();
      // Here a letter is no command of the page, and Enter does not submit the answer.
      if (writes || event.key === "Enter" || event.key === " ") event.stopPropagation();
    });
  }

  /** Another task is on screen, or (null) none. What was written about the one before goes with it. */
  show(task) {
    if (task === this.#task) return;
    this.#send();
    this.#task = task;
    this.#box.open = false;
    this.#list.replaceChildren();
  }

  async #send() {
    const [task, text, flag] = [this.#task, this.#text.value.trim(), this.#flag.checked];
    if (text === "") return;
    this.#text.value = "";
    this.#flag.checked = false;
    try {
      const said = await this.#api.comment(task, text, flag);
      if (task === this.#task) this.#list.prepend(entry(said));
      this.#say("Comment sent.");
    } catch (error) {
      if (task === this.#task && this.#text.value === "") [this.#text.value, this.#flag.checked] = [text, flag];
      const why = error instanceof Offline ? "the server can't be reached just now." : error.message;
      this.#say(`The comment "${text}" was not sent: ${why}`, true);
    }
  }

  async #read(task) {
    try {
      const { comments } = await this.#api.comments(task);
      if (task === this.#task) this.#list.replaceChildren(...comments.map(entry));
    } catch {
      // What others said is not there then; one's own can still be written.
    }
  }
}

function entry({ person, text, flag, resolved }) {
  const item = document.createElement("li");
  const who = document.createElement("strong");
  who.textContent = person;
  item.dir = "auto";
  item.append(who, `: ${text}`, flag ? (resolved ? " (flag resolved)" : " (flagged)") : "");
  return item;
}
