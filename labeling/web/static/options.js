/* Answers that are picked from a list: one label, several, stars, the better of two. Keys choose, arrows move. */

import { keyOf, labelOf } from "./keys.js";

/** By kind: the answer for the options that are checked, and the options that an answer checks. */
const FORMS = {
  choice: { answer: (picked) => ({ choices: picked }), picked: (value) => value.choices },
  choices: { answer: (picked) => ({ choices: picked }), picked: (value) => value.choices },
  rating: { answer: ([stars]) => ({ rating: Number(stars) }), picked: (value) => [String(value.rating)] },
  pairwise: { answer: ([side]) => ({ selected: side }), picked: (value) => [value.selected] },
};

export class Options {
  #form;

  constructor(kind, form) {
    this.#form = FORMS[kind];
    this.several = kind === "choices";
    this.inputs = [...form.querySelectorAll("#choices input")];
    this.filter = form.querySelector("#filter");
    this.missing = this.several ? "Choose at least one label first." : "Choose a label first.";
    this.inputs.forEach((input, index) => {
      input.closest("label").querySelector("kbd").textContent = keyOf(index);
    });
    this.filter?.addEventListener("input", () => this.#narrow());
  }

  /** Show what was answered before, nothing if that is null. */
  set(value) {
    const picked = value === null ? [] : this.#form.picked(value) ?? [];
    this.inputs.forEach((input) => {
      input.checked = picked.includes(input.value);
    });
    if (this.filter) {
      this.filter.value = "";
      this.#narrow();
    }
  }

  /** The answer, null if nothing is chosen. */
  get value() {
    const picked = this.inputs.filter((input) => input.checked).map((input) => input.value);
    return picked.length ? this.#form.answer(picked) : null;
  }

  /** What is chosen, in words. */
  get said() {
    return this.inputs.filter((input) => input.checked).map((input) => nameOf(input)).join(", ");
  }

  /** What a key press does; false if nothing. */
  press(event) {
    return this.choose(labelOf(event));
  }

  choose(index) {
    const input = this.inputs[index];
    if (!input) return false;
    input.checked = this.several ? !input.checked : true;
    input.closest("label").scrollIntoView({ block: "nearest" });
    return true;
  }

  /** Move the choice up or down among the options in view; where several may be chosen, move the focus. */
  step(by) {
    const shown = this.inputs.filter((input) => !input.closest("label").hidden);
    if (shown.length === 0) return;
    const at = shown.findIndex((input) => (this.several ? input === document.activeElement : input.checked));
    const to = shown[at < 0 ? (by > 0 ? 0 : shown.length - 1) : (at + by + shown.length) % shown.length];
    if (this.several) to.focus();
    else this.choose(this.inputs.indexOf(to));
  }

  #narrow() {
    const wanted = this.filter.value.trim().toLowerCase();
    this.inputs.forEach((input) => {
      input.closest("label").hidden = !nameOf(input).toLowerCase().includes(wanted);
    });
  }
}

const nameOf = (input) => input.closest("label").querySelector("span").textContent;
