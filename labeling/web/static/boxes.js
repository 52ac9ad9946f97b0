/* Boxes on an image: draw with the mouse or a finger, take hold to move, pull a corner or a side to resize. A label's key
   gives the box in hand that label, or the next one to be drawn. Sides are kept in percent of the image. */

import { keyOf, labelOf } from "./keys.js";

const LEAST_PX = 5;
const STEP = 0.5;
const ROOM = 10; // percent of the image above a box: enough for its label
const SIDES = ["nw", "n", "ne", "e", "se", "s", "sw", "w"];
const COLORS = 8;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class Boxes {
  missing = "Draw a box first.";
  /** Takes long enough to answer that drafts are also kept on the server. */
  slow = true;
  #control;
  #field;
  #regions = [];
  #past = [];
  #selected = null;
  #label = 0;
  #drag = null;

  /** control: name, to and whether an answer is required; field: of a task's data that holds the image. */
  constructor(control, field, form) {
    this.#control = control;
    this.#field = field;
    this.stage = document.querySelector("#stage");
    this.image = this.stage.querySelector("img");
    this.list = form.querySelector("#marks");
    this.buttons = [...form.querySelectorAll("#choices button")];
    this.buttons.forEach((button, index) => {
      button.querySelector("kbd").textContent = keyOf(index);
      button.dataset.color = index % COLORS;
      button.addEventListener("click", () => this.#choose(index));
    });
    this.list.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button) this.#remove(Number(button.dataset.index));
    });
    this.stage.addEventListener("pointerdown", (event) => this.#grab(event));
    this.stage.addEventListener("pointermove", (event) => this.#pull(event));
    this.stage.addEventListener("pointerup", () => this.#drop());
    this.stage.addEventListener("pointercancel", () => this.#drop());
    this.stage.addEventListener("focusin", ({ target }) => this.#select(Number(target.dataset.index ?? NaN)));
    this.#choose(0);
  }

  about(turn) {
    const address = turn.data[this.#field];
    this.image.src = address;
    this.image.alt = turn.data.path ?? turn.external_id;
  }

  set(value) {
    this.#regions = Array.isArray(value) ? structuredClone(value) : [];
    this.#past = [];
    this.#selected = null;
    this.#draw();
  }

  /** The regions; nothing drawn is an answer, too, unless boxes are required. */
  get value() {
    return this.#regions.length || !this.#control.required ? structuredClone(this.#regions) : null;
  }

  get said() {
    return this.describe(this.#regions);
  }

  describe(regions) {
    return regions.length === 1 ? "1 box" : `${regions.length} boxes`;
  }

  /** Keys that mean something else here than on the rest of the page; false if this is none. */
  takes(event) {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z") return this.#back();
    if (event.ctrlKey || event.metaKey || event.altKey || this.#selected === null) return false;
    if (event.key === "Escape") return this.#select(null);
    if (event.key === "Backspace" || event.key === "Delete") return this.#remove(this.#selected);
    const [right, down] = ARROWS[event.key] ?? [];
    if (right === undefined) return false;
    this.#remember();
    const { x, y, width, height } = this.#regions[this.#selected].value;
    const box = event.shiftKey
      ? { x, y, width: width + right * STEP, height: height + down * STEP }
      : { x: x + right * STEP, y: y + down * STEP, width, height };
    this.#place(this.#selected, box, !event.shiftKey);
    return true;
  }

  press(event) {
    return this.#choose(labelOf(event));
  }

  step() {}

  // Labels

  #choose(index) {
    if (!this.buttons[index]) return false;
    this.#label = index;
    this.buttons.forEach((button, place) => button.setAttribute("aria-pressed", place === index));
    if (this.#selected !== null) {
      this.#remember();
      this.#regions[this.#selected].value.rectanglelabels = [this.buttons[index].value];
      this.#changed();
    }
    return true;
  }

  // The pointer

  /** Where the pointer is, in percent of the image. */
  #at({ clientX, clientY }) {
    const { left, top, width, height } = this.image.getBoundingClientRect();
    const within = (share) => 100 * Math.min(Math.max(share, 0), 1);
    return [within((clientX - left) / width), within((clientY - top) / height)];
  }

  #grab(event) {
    if (event.button !== 0 || !this.image.naturalWidth) return;
    const [x, y] = this.#at(event);
    const index = Number(event.target.closest("[data-index]")?.dataset.index ?? NaN);
    if (Number.isNaN(index)) {
      this.#select(null);
      this.#drag = { from: [x, y], side: "new" };
    } else {
      this.#select(index);
      this.#drag = { from: [x, y], side: event.target.dataset.side ?? "all", box: { ...this.#regions[index].value } };
    }
    this.stage.setPointerCapture(event.pointerId);
    event.preventDefault();
  }

  #pull(event) {
    if (this.#drag === null) return;
    const { from, side, box } = this.#drag;
    const [x, y] = this.#at(event);
    const [right, down] = [x - from[0], y - from[1]];
    if (!this.#drag.moved) {
      const { width, height } = this.image.getBoundingClientRect();
      if (Math.hypot((right * width) / 100, (down * height) / 100) < LEAST_PX) return;
      this.#drag.moved = true;
      this.#remember();
      if (side === "new") this.#add(from);
    }
    if (side === "all") {
      this.#place(this.#selected, { ...box, x: box.x + right, y: box.y + down }, true);
    } else if (side === "new") {
      this.#place(this.#selected, spanned(from, [x, y]));
    } else {
      const edges = [box.x, box.y, box.x + box.width, box.y + box.height];
      if (side.includes("w")) edges[0] += right;
      if (side.includes("n")) edges[1] += down;
      if (side.includes("e")) edges[2] += right;
      if (side.includes("s")) edges[3] += down;
      this.#place(this.#selected, spanned(edges.slice(0, 2), edges.slice(2)));
    }
  }

  #drop() {
    const moved = this.#drag?.moved;
    this.#drag = null;
    if (!moved) return;
    const { width, height } = this.#regions[this.#selected].value;
    const shown = this.image.getBoundingClientRect();
    const thin = (width * shown.width) / 100 < LEAST_PX || (height * shown.height) / 100 < LEAST_PX;
    if (thin) this.#back();
    else this.#changed();
  }

  // The boxes

  #add([x, y]) {
    this.#regions.push({
      id: crypto.randomUUID?.().slice(0, 10) ?? `b${Date.now()}`,
      from_name: this.#control.name,
      to_name: this.#control.to,
      type: "rectanglelabels",
      original_width: this.image.naturalWidth,
      original_height: this.image.naturalHeight,
      image_rotation: 0,
      value: { x, y, width: 0, height: 0, rotation: 0, rectanglelabels: [this.buttons[this.#label].value] },
    });
    this.#selected = this.#regions.length - 1;
    this.#draw();
  }

  /** Give a box its place within the image; one that is moved keeps its size. */
  #place(index, { x, y, width, height }, moved = false) {
    const value = this.#regions[index].value;
    const kept = (number, most) => Math.min(Math.max(number, 0), most);
    value.x = kept(x, moved ? 100 - width : 100);
    value.y = kept(y, moved ? 100 - height : 100);
    value.width = kept(width, 100 - value.x);
    value.height = kept(height, 100 - value.y);
    this.#put(this.stage.querySelector(`.box[data-index="${index}"]`), value);
    if (this.#drag === null) this.#changed();
  }

  #remove(index) {
    if (!this.#regions[index]) return false;
    this.#remember();
    this.#regions.splice(index, 1);
    this.#selected = null;
    this.#changed();
    return true;
  }

  #remember() {
    this.#past.push(structuredClone(this.#regions));
    if (this.#past.length > 100) this.#past.shift();
  }

  #back() {
    if (this.#past.length === 0) return true;
    this.#regions = this.#past.pop();
    this.#selected = null;
    this.#changed();
    return true;
  }

  #select(index) {
    if (Number.isNaN(index) || this.#selected === index) return false;
    this.#selected = index;
    if (index !== null) {
      const label = this.#regions[index].value.rectanglelabels?.[0];
      const place = this.buttons.findIndex((button) => button.value === label);
      this.buttons.forEach((button, each) => button.setAttribute("aria-pressed", each === place));
      if (place >= 0) this.#label = place;
    }
    for (const box of this.stage.querySelectorAll(".box")) {
      box.classList.toggle("selected", Number(box.dataset.index) === index);
    }
    return true;
  }

  #changed() {
    this.#draw();
    this.stage.dispatchEvent(new Event("change", { bubbles: true }));
  }

  #draw() {
    const focused = this.stage.contains(document.activeElement) ? document.activeElement.dataset.index : undefined;
    for (const box of this.stage.querySelectorAll(".box")) box.remove();
    this.#regions.forEach((region, index) => this.stage.append(this.#box(region.value, index)));
    this.list.replaceChildren(...this.#regions.map(({ value }, index) => this.#line(value, index)));
    if (focused !== undefined) this.stage.querySelector(`.box[data-index="${focused}"]`)?.focus();
  }

  #box(value, index) {
    const box = document.createElement("div");
    const name = (value.rectanglelabels ?? []).join(", ");
    const place = this.buttons.findIndex((button) => button.value === value.rectanglelabels?.[0]);
    box.className = index === this.#selected ? "box selected" : "box";
    box.tabIndex = 0;
    box.dataset.index = index;
    box.dataset.color = Math.max(place, 0) % COLORS;
    box.setAttribute("role", "group");
    box.setAttribute("aria-label", `Box ${index + 1}: ${name}`);
    const tag = document.createElement("span");
    tag.textContent = name;
    tag.dir = "auto";
    box.append(
      tag,
      ...SIDES.map((side) => {
        const handle = document.createElement("i");
        handle.dataset.side = side;
        return handle;
      }),
    );
    this.#put(box, value);
    return box;
  }

  #put(box, { x, y, width, height, rotation }) {
    const style = { left: x, top: y, width, height };
    for (const [name, number] of Object.entries(style)) box.style[name] = `${number}%`;
    box.classList.toggle("roomy", y > ROOM);
    if (rotation) box.style.transform = `rotate(${Number(rotation)}deg)`;
  }

  #line(value, index) {
    const line = document.createElement("li");
    const button = document.createElement("button");
    const name = (value.rectanglelabels ?? []).join(", ");
    line.textContent = `${name}: ${Math.round(value.width)} × ${Math.round(value.height)} % `;
    button.type = "button";
    button.className = "button quiet small";
    button.dataset.index = index;
    button.textContent = "×";
    button.setAttribute("aria-label", `Remove box ${index + 1}: ${name}`);
    line.append(button);
    return line;
  }
}

/** The box between two corners. */
function spanned([x, y], [otherX, otherY]) {
  return { x: Math.min(x, otherX), y: Math.min(y, otherY), width: Math.abs(otherX - x), height: Math.abs(otherY - y) };
}
