/* The page's moving parts. Whatever comes from a task is set as text, never as markup. */

import { Boxes } from "./boxes.js";
import { Foreign } from "./foreign.js";
import { Options } from "./options.js";
import { Spans } from "./spans.js";
import { FreeText } from "./text.js";

const one = (selector) => document.querySelector(selector);

function editorOf(page, form) {
  const { kind, control, to, required } = page;
  if (page.editor === "foreign") return new Foreign(page);
  if (kind === "boxes") {
    return new Boxes({ name: control, to, required: required === "true" }, JSON.parse(page.images)[0], form);
  }
  if (kind === "text") return new FreeText(form);
  if (kind === "spans") return new Spans({ name: control, to, required: required === "true" }, form);
  return new Options(kind, form);
}

export class View {
  #fields;
  #images;
  #pair;

  /** page: the dataset of #labeling, which says what is asked about which fields of a task. */
  constructor(page) {
    this.form = one("#answer");
    this.quick = one("#quick");
    this.editor = editorOf(page, this.form);
    this.#fields = JSON.parse(page.fields);
    this.#images = page.kind === "boxes" ? [] : JSON.parse(page.images);
    document.querySelector("#work").addEventListener("error", ({ target }) => this.#unseen(target), true);
    this.#pair = page.kind === "pairwise";
  }

  /** Show a task, with what was answered or begun before if anything was. */
  show(turn, value) {
    one("#work").hidden = false;
    one("#done").hidden = true;
    one("#waiting").hidden = true;
    const { title, tags } = turn.data;
    const texts = this.#fields.map((field) => turn.data[field]).filter((text) => text !== undefined && text !== null);
    // Marks are on the text itself, so it is never made the title; of a comparison both sides are shown below.
    const below = this.#pair || this.editor instanceof Spans;
    one("#task-title").textContent = title || (!below && texts.join("\n\n")) || turn.external_id;
    one("#task-text").textContent = title || below ? (this.#pair ? "" : texts.join("\n\n")) : "";
    if (this.#pair) one("#pair").replaceChildren(...texts.map(pane));
    one("#task-images").replaceChildren(...this.#images.map((field) => turn.data[field]).filter(Boolean).map(shownImage));
    one("#task-tags").replaceChildren(...(Array.isArray(tags) ? tags : []).slice(0, 30).map(chip));
    one("#again").hidden = turn.value === null;
    one("#note").hidden = turn.note === null;
    one("#note").textContent = `Sent back: ${turn.note}`;
    this.editor.about?.(turn);
    this.#suggest(turn.suggestion);
    this.editor.set(value);
    this.changed();
    scrollTo({ top: 0 });
    one("#task-title").focus({ preventScroll: true });
  }

  #suggest(suggestion) {
    one("#suggestion").hidden = suggestion === null;
    if (suggestion === null) return;
    const said = this.#said(suggestion.value) || "nothing";
    one("#suggestion-text").textContent = `${suggestion.model}: ${said}, ${Math.round(100 * suggestion.score)} % sure.`;
  }

  /** An image that cannot be shown: say so, and why that may be. */
  #unseen(image) {
    if (!image.matches("img")) return;
    const elsewhere = /^https?:/.test(image.getAttribute("src"));
    const why = elsewhere ? " Images of other hosts are shown if PALATE_IMAGE_HOSTS names the host." : "";
    this.say(`The image cannot be shown.${why}`, true);
  }

  /** An answer in words. */
  #said(value) {
    if (this.editor.describe) return this.editor.describe(value);
    this.editor.set(value);
    return this.editor.said;
  }

  changed() {
    one("#submit").disabled = this.editor.value === null;
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
}

function pane(text, index) {
  const side = document.createElement("section");
  const name = document.createElement("h3");
  const body = document.createElement("p");
  name.textContent = index === 0 ? "Left" : "Right";
  body.textContent = String(text);
  body.dir = "auto";
  side.append(name, body);
  return side;
}

function shownImage(address) {
  const image = document.createElement("img");
  image.src = String(address);
  image.alt = "";
  return image;
}

function chip(text) {
  const item = document.createElement("li");
  item.textContent = String(text);
  return item;
}

const number = (value) => value.toLocaleString();
