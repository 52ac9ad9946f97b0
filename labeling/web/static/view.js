/* The page's moving parts. Whatever comes from a task is set as text, never as markup. */

import { keyOf } from "./keys.js";

const one = (selector) => document.querySelector(selector);

export class View {
  constructor() {
    this.form = one("#answer");
    this.choices = [...document.querySelectorAll("#choices input")];
    this.filter = one("#filter");
    this.quick = one("#quick");
    this.choices.forEach((input, index) => {
      input.closest("label").querySelector("kbd").textContent = keyOf(index);
    });
    this.filter?.addEventListener("input", () => this.#narrow());
  }

  /** Show a task, with the choice made before if there is one. */
  show(turn, choice) {
    one("#work").hidden = false;
    one("#done").hidden = true;
    one("#waiting").hidden = true;
    const { title, text, tags } = turn.data;
    one("#task-title").textContent = title || text || turn.external_id;
    one("#task-text").textContent = title ? text || "" : "";
    one("#task-tags").replaceChildren(...(Array.isArray(tags) ? tags : []).slice(0, 30).map(chip));
    one("#again").hidden = turn.value === null;
    this.choices.forEach((input) => {
      input.checked = input.value === choice;
    });
    if (this.filter) {
      this.filter.value = "";
      this.#narrow();
    }
    this.changed();
    scrollTo({ top: 0 });
    one("#task-title").focus({ preventScroll: true });
  }

  /** The label chosen, null if none is. */
  get chosen() {
    return this.choices.find((input) => input.checked)?.value ?? null;
  }

  choose(index) {
    const input = this.choices[index];
    if (!input) return false;
    input.checked = true;
    input.closest("label").scrollIntoView({ block: "nearest" });
    this.changed();
    return true;
  }

  /** Move the choice up or down among the labels in view. */
  step(by) {
    const shown = this.choices.filter((input) => !input.closest("label").hidden);
    if (shown.length === 0) return;
    const at = shown.findIndex((input) => input.checked);
    const to = at < 0 ? (by > 0 ? 0 : shown.length - 1) : (at + by + shown.length) % shown.length;
    this.choose(this.choices.indexOf(shown[to]));
  }

  changed() {
    one("#submit").disabled = this.chosen === null;
  }

  progress(state) {
    const share = state.tasks ? state.done / state.tasks : 0;
    one("#bar").max = Math.max(state.tasks, 1);
    one("#bar").value = state.done;
    one("#bar").textContent = `${Math.round(100 * share)} %`;
    one("#done-count").textContent = number(state.done);
    one("#task-count").textContent = number(state.tasks);
    one("#remaining").textContent = number(state.remaining);
    one("#mine").textContent = number(state.mine);
    one("#skipped").textContent = number(state.skipped);
    one("#skipped").parentElement.hidden = state.skipped === 0;
    one("#take-skipped").hidden = state.skipped === 0;
    one("#done-mine").textContent = number(state.mine);
    one("#done-left").hidden = state.remaining === 0;
  }

  finished() {
    one("#work").hidden = true;
    one("#waiting").hidden = true;
    one("#done").hidden = false;
    one("#done h2").focus({ preventScroll: true });
  }

  waiting(text) {
    one("#work").hidden = true;
    one("#done").hidden = true;
    one("#waiting").hidden = false;
    one("#waiting p").textContent = text;
  }

  /** A line that stays until it is cleared, about the connection. `signIn` adds the way to the sign-in page. */
  banner(text, signIn = false) {
    one("#banner-text").textContent = text;
    one("#banner-sign-in").hidden = !signIn;
    one("#banner").hidden = text === "";
  }

  /** A line that is read out and fades. */
  say(text, warning = false) {
    const line = one("#status");
    line.textContent = text;
    line.classList.toggle("warning", warning);
    line.classList.remove("fading");
    void line.offsetWidth; // lets the animation start afresh
    line.classList.add("fading");
  }

  keys() {
    const dialog = one("#keys");
    if (dialog.open) dialog.close();
    else dialog.showModal();
  }

  #narrow() {
    const wanted = this.filter.value.trim().toLowerCase();
    this.choices.forEach((input) => {
      input.closest("label").hidden = !input.value.toLowerCase().includes(wanted);
    });
  }
}

function chip(text) {
  const item = document.createElement("li");
  item.textContent = String(text);
  return item;
}

const number = (value) => value.toLocaleString();
