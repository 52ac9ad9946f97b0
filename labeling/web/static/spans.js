/* Stretches of text: select some of it, then press a label's key or click the label. Offsets count characters (code
   points), as Label Studio's do, where JavaScript counts UTF-16 units. */

import { keyOf, labelOf } from "./keys.js";

export class Spans {
  missing = "Mark something first.";
  #control;
  #regions = [];
  #text = "";
  #selected = null;

  constructor(control, form) {
    this.#control = control;
    this.shown = document.querySelector("#task-text");
    this.list = form.querySelector("#marks");
    this.buttons = [...form.querySelectorAll("#choices button")];
    this.buttons.forEach((button, index) => {
      button.querySelector("kbd").textContent = keyOf(index);
      button.addEventListener("click", () => this.#mark(index));
    });
    document.addEventListener("selectionchange", () => this.#remember());
    this.list.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button) this.#remove(Number(button.dataset.index));
    });
  }

  /** Show the marks on the text that is on screen. */
  set(value) {
    this.#text = this.shown.textContent;
    this.#regions = Array.isArray(value) ? [...value] : [];
    this.#selected = null;
    this.#draw();
  }

  /** The regions; nothing marked is an answer, too, unless marks are required. */
  get value() {
    return this.#regions.length || !this.#control.required ? this.#regions : null;
  }

  get said() {
    return this.#regions.length === 1 ? "1 mark" : `${this.#regions.length} marks`;
  }

  press(event) {
    if (event.key === "Backspace") return this.#remove(this.#regions.length - 1);
    return this.#mark(labelOf(event));
  }

  step() {}

  /** What is selected of the text, kept while the focus moves to a label. */
  #remember() {
    const selection = getSelection();
    if (!selection.rangeCount || selection.isCollapsed) return;
    const range = selection.getRangeAt(0);
    if (!this.shown.contains(range.startContainer) || !this.shown.contains(range.endContainer)) return;
    const before = range.cloneRange();
    before.selectNodeContents(this.shown);
    before.setEnd(range.startContainer, range.startOffset);
    const start = [...before.toString()].length;
    this.#selected = { start, end: start + [...range.toString()].length };
  }

  #mark(index) {
    const label = this.buttons[index]?.value;
    if (label === undefined || this.#selected === null) return false;
    const { start, end } = this.#selected;
    const text = [...this.#text].slice(start, end).join("");
    this.#regions.push({
      id: crypto.randomUUID?.().slice(0, 10) ?? `m${Date.now()}`,
      from_name: this.#control.name,
      to_name: this.#control.to,
      type: "labels",
      value: { start, end, text, labels: [label] },
    });
    this.#selected = null;
    getSelection().removeAllRanges();
    this.#draw();
    this.shown.dispatchEvent(new Event("change", { bubbles: true }));
    return true;
  }

  #remove(index) {
    if (!this.#regions[index]) return false;
    this.#regions.splice(index, 1);
    this.#draw();
    this.shown.dispatchEvent(new Event("change", { bubbles: true }));
    return true;
  }

  /** The text in pieces cut at every border, those within marks highlighted; and the list of marks. */
  #draw() {
    const letters = [...this.#text];
    const spans = this.#regions.map(({ value }) => value);
    const cuts = [...new Set([0, letters.length, ...spans.flatMap(({ start, end }) => [start, end])])];
    cuts.sort((one, other) => one - other);
    this.shown.replaceChildren(
      ...cuts.slice(1).map((end, index) => {
        const start = cuts[index];
        const text = letters.slice(start, end).join("");
        const over = spans.filter((span) => span.start <= start && span.end >= end);
        if (over.length === 0) return document.createTextNode(text);
        const mark = document.createElement("mark");
        mark.textContent = text;
        mark.title = over.flatMap(({ labels }) => labels).join(", ");
        return mark;
      }),
    );
    this.list.replaceChildren(...spans.map((span, index) => this.#line(span, index)));
  }

  #line({ start, end, labels }, index) {
    const line = document.createElement("li");
    const button = document.createElement("button");
    const text = [...this.#text].slice(start, end).join("");
    line.textContent = `${labels.join(", ")}: ${text} `;
    button.type = "button";
    button.className = "button quiet small";
    button.dataset.index = index;
    button.textContent = "×";
    button.setAttribute("aria-label", `Remove ${labels.join(", ")}: ${text}`);
    line.append(button);
    return line;
  }
}
