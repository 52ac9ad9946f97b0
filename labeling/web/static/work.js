/* The labeling page: one task on screen, the next ones loaded ahead, answers on their way in the background. The reply
   to an answer brings the next task along, so that a turn is one request. */

import { Api, Offline } from "./api.js";
import { Comments } from "./comments.js";
import { Outbox } from "./outbox.js";
import { View } from "./view.js";

const AHEAD = 2;
const DRAFT_MS = 1_500;
const PAUSED_MS = 30_000;
const page = document.querySelector("#labeling").dataset;
const prefix = `palate.label.${page.person}.${page.project}`;

const api = new Api(page.api, document.querySelector('meta[name="csrf-token"]').content);
const outbox = new Outbox(api, prefix, (sent) => (enough() ? null : here().filter((task) => task !== sent)));
const view = new View(page);
const comments = new Comments(api, (text, bad) => view.say(text, bad));

let current = null;
let shownAt = 0;
let ahead = [];
let exhausted = false;
let loading = null;
let goingBack = false;

/* ---- Drafts: what is chosen and not yet submitted survives a reload. */

const draftKey = `${prefix}.draft`;

function keepDraft() {
  if (current && view.editor.value !== null) {
    localStorage.setItem(draftKey, JSON.stringify({ task: current.id, value: view.editor.value }));
    if (view.editor.slow) sendDraft(current.id);
  } else {
    localStorage.removeItem(draftKey);
  }
}

let draftTimer = null;

/** What takes long to answer is kept on the server as well, soon after each change: it is there on another machine. */
function sendDraft(task) {
  clearTimeout(draftTimer);
  draftTimer = setTimeout(() => {
    // One that does not arrive is sent with the next change, and lies in the browser meanwhile.
    if (current?.id === task && view.editor.value !== null) api.keepDraft(task, view.editor.value).catch(() => {});
  }, DRAFT_MS);
}

function draftOf(task) {
  try {
    const draft = JSON.parse(localStorage.getItem(draftKey));
    return draft?.task === task.id ? draft.value ?? null : null;
  } catch {
    return null;
  }
}

/* ---- Tasks. */

function show(task) {
  current = task;
  shownAt = performance.now();
  view.show(task, draftOf(task) ?? task.draft ?? task.value);
  comments.show(task.id);
}

const enough = () => exhausted || ahead.length >= AHEAD + (current === null ? 1 : 0);

/** Tasks that are on this page, or answered and not yet stored. */
const here = () => [...(current ? [current.id] : []), ...ahead.map((task) => task.id), ...outbox.tasks];

/** Keep a task that the server gave us, on screen if there is none. */
function keep(task) {
  if (here().includes(task.id)) return;
  if (current === null && !goingBack) show(task);
  else ahead.push(task);
}

/** Put the next task on screen at once if one is loaded; load until enough are. */
function advance() {
  current = null;
  comments.show(null);
  localStorage.removeItem(draftKey);
  const task = ahead.shift();
  if (task) show(task);
  load();
}

function load() {
  // First what is on its way: it may bring tasks.
  loading ??= outbox.flush().then(fill).finally(() => {
    loading = null;
  });
  return loading;
}

async function fill() {
  while (!enough()) {
    let answer;
    try {
      answer = await api.next(here());
    } catch (error) {
      if (current === null) wait(error);
      if (error instanceof Offline || error.passing) retryLater();
      // Paused, or the budget is spent: somebody may change that.
      else if (error.status === 409) retryLater(PAUSED_MS);
      return;
    }
    view.progress(answer.progress);
    if (answer.task === null && answer.more) {
      if (current !== null) return;
      if (outbox.turns.length > 0) await outbox.flush();
      view.waiting("The model is learning from the answers. More tasks may come.");
      retryLater();
      return;
    } else if (answer.task === null) {
      exhausted = true;
    } else {
      keep(answer.task);
    }
  }
  if (exhausted && current === null && !goingBack) finish();
}

async function finish() {
  if (outbox.turns.length > 0) await outbox.flush();
  if (outbox.turns.length > 0) wait(outbox.reason);
  else if (current === null) view.finished();
}

function wait(error) {
  view.waiting(
    error instanceof Offline
      ? "The server can't be reached. The next task comes as soon as it can."
      : error?.message ?? "Waiting for the server.",
  );
}

let again = null;

function retryLater(after = 2_000) {
  clearTimeout(again);
  again = setTimeout(load, after);
}

/* ---- Turns. */

async function submit() {
  const task = current;
  if (view.editor.settle && task !== null) {
    if (!(await view.editor.settle())) return;
    if (current !== task) return; // pressed twice
  }
  const { value, said, missing } = view.editor;
  if (current === null || value === null) {
    if (current) view.say(missing, true);
    return;
  }
  const seconds = Math.round((performance.now() - shownAt) / 10) / 100;
  outbox.put({ task: current.id, value, seconds });
  view.say(`${said}: noted.`);
  advance();
}

function skip() {
  if (current === null) return;
  outbox.put({ task: current.id, skip: true });
  view.say("Skipped.");
  advance();
}

async function undo() {
  if (goingBack) return;
  goingBack = true;
  try {
    await outbox.flush();
    const answer = await api.undo(current?.id ?? null);
    if (answer.task === null) {
      view.say("There is nothing before this.");
      return;
    }
    // A task that waits for its first answer comes back right after; one that was only revisited keeps its answer.
    if (current !== null && current.value === null) ahead.unshift(current);
    ahead = ahead.filter((task) => task.id !== answer.task.id);
    localStorage.removeItem(draftKey);
    view.progress(answer.progress);
    show(answer.task);
    view.say("Back to the one before.");
  } catch (error) {
    view.say(error instanceof Offline ? "Going back needs the connection; it is lost just now." : error.message, true);
  } finally {
    goingBack = false;
    if (current === null && ahead.length > 0) advance();
  }
}

/** Fill in what the model suggests; it counts once it is submitted. */
function takeSuggestion() {
  if (!current?.suggestion) return;
  view.editor.set(current.suggestion.value);
  view.changed();
  keepDraft();
}

async function takeSkipped() {
  try {
    await api.returnSkipped();
    exhausted = false;
    await load();
  } catch (error) {
    view.say(error instanceof Offline ? "The server can't be reached just now." : error.message, true);
  }
}

/* ---- What the person hears of the outbox. */

outbox.addEventListener("sent", ({ detail }) => {
  view.progress(detail.progress);
  if (detail.task) keep(detail.task);
});

outbox.addEventListener("refused", ({ detail }) => view.say(detail.error.message, true));

outbox.addEventListener("change", () => {
  const unsent = outbox.turns.length;
  if (unsent === 0 || outbox.reason === null) {
    view.banner("");
    if (exhausted && current === null && !goingBack) finish();
    return;
  }
  const what = unsent === 1 ? "1 answer is" : `${unsent} answers are`;
  if ([401, 403].includes(outbox.reason.status)) {
    view.banner(`You are signed out. ${what} kept on this device and will be sent once you sign in.`, true);
  } else {
    view.banner(`No connection. ${what} kept on this device and will be sent as soon as it is back.`);
  }
});

/* ---- Mouse, touch, keyboard. */

view.form.addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});

for (const type of ["change", "input"]) {
  document.querySelector("#work").addEventListener(type, () => {
    view.changed();
    keepDraft();
  });
}

document.querySelector("#choices").addEventListener("click", (event) => {
  // A click on a label makes a second one on its input; arrow keys make only that: moving must not submit.
  if (!isQuick() || event.target.matches("input") || !event.target.closest("label")) return;
  setTimeout(submit); // once the click has checked the input
});

/** Whether choosing submits: where one choice is the whole answer, if the person likes. */
const isQuick = () => view.quick !== null && view.quick.checked;

document.querySelector("#work").addEventListener("broken", ({ detail }) => view.say(`The editor says: ${detail}`, true));
document.querySelector("#skip").addEventListener("click", skip);
document.querySelector("#suggestion button").addEventListener("click", takeSuggestion);
for (const button of document.querySelectorAll("[data-undo]")) button.addEventListener("click", undo);
for (const button of document.querySelectorAll("[data-keys]")) button.addEventListener("click", () => view.keys());
document.querySelector("#take-skipped").addEventListener("click", takeSkipped);

if (view.quick) {
  view.quick.checked = localStorage.getItem("palate.label.quick") === "yes";
  view.quick.addEventListener("change", () => {
    localStorage.setItem("palate.label.quick", view.quick.checked ? "yes" : "no");
  });
}

const commands = {
  Enter: submit,
  s: skip,
  u: undo,
  p: takeSuggestion,
  "?": () => view.keys(),
  ArrowDown: () => view.editor.step(1),
  ArrowRight: () => view.editor.step(1),
  ArrowUp: () => view.editor.step(-1),
  ArrowLeft: () => view.editor.step(-1),
};

function inFilter(event) {
  const { filter, inputs } = view.editor;
  if (event.key === "Escape") {
    filter.value = "";
    filter.dispatchEvent(new Event("input", { bubbles: true }));
    filter.blur();
  } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    view.editor.step(event.key === "ArrowDown" ? 1 : -1);
  } else if (event.key === "Enter") {
    const shown = inputs.findIndex((input) => !input.closest("label").hidden);
    if (!inputs.some((input) => input.checked && !input.closest("label").hidden)) view.editor.choose(shown);
    keepDraft();
    submit();
  } else {
    return;
  }
  event.preventDefault();
}

/** Where letters are letters; Ctrl or Command and Enter submit, Escape leaves. */
function inText(event) {
  if (event.key === "Escape") event.target.blur();
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  submit();
  event.preventDefault();
}

document.addEventListener("keydown", (event) => {
  if (event.target.matches("textarea")) {
    inText(event);
    return;
  }
  if (current !== null && view.editor.takes?.(event)) {
    event.preventDefault();
    return;
  }
  if (view.editor.settle && event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    submit();
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (document.querySelector("#keys").open) {
    if (event.key === "?") view.keys();
    return;
  }
  const { filter } = view.editor;
  if (filter && event.target === filter) {
    inFilter(event);
    return;
  }
  if (event.key === "Enter" && event.target.closest("a, button, summary, footer input")) return;
  if (event.key === "/" && filter) {
    filter.focus();
  } else if (commands[event.key.length === 1 ? event.key.toLowerCase() : event.key]) {
    if (event.repeat && !event.key.startsWith("Arrow")) return;
    commands[event.key.length === 1 ? event.key.toLowerCase() : event.key]();
    view.changed();
    keepDraft();
  } else if (current !== null && view.editor.press(event)) {
    view.changed();
    keepDraft();
    if (isQuick()) submit();
  } else {
    return;
  }
  event.preventDefault();
});

outbox.flush();
load();
