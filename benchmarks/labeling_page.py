"""The labeling page in a real browser: from a key press until the next task is painted.

Time is taken inside the page: from the moment that the browser gives to the key press to the first moment after the
frame in which the next task's text stands. Needs Chromium (or PALATE_CHROMIUM, which names it) and Playwright.
"""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.harness import Benchmark, Timing
from benchmarks.labeling_house import PATIENCE_MS, House, browser, house, sign_in

if TYPE_CHECKING:
    from playwright.sync_api import Page

PROMISE = 100.0
"""Milliseconds."""
_THOUGHT = 0.25
_WATCH = """
window.taken = [];
let pressed = null;
addEventListener("keydown", (event) => { if (event.key === "Enter") pressed = event.timeStamp; }, true);
const painted = new MessageChannel();
painted.port1.onmessage = ({ data }) => { taken.push(performance.now() - data); };
addEventListener("DOMContentLoaded", () => {
  const title = document.querySelector("#task-title");
  if (title === null) return;
  let shown = "";
  new MutationObserver(() => {
    const text = title.textContent;
    if (text === shown) return;
    shown = text;
    if (pressed === null) return;
    const since = pressed;
    pressed = null;
    // A message sent from a frame's callback arrives after that frame is painted.
    requestAnimationFrame(() => painted.port2.postMessage(since));
  }).observe(title, { childList: true, characterData: true, subtree: true });
});
"""


_UNTIL = "n => new Promise((done) => { const look = () => taken.length > n ? done() : setTimeout(look, 2); look(); })"


def run(quick: bool) -> Timing:
    """A person who thinks for a while before each answer, and keys pressed as fast as the tasks come."""
    turns = 5 if quick else 150
    with house() as service, browser() as page:
        page.add_init_script(_WATCH)
        name, password = "ann", secrets.token_hex(8)
        service.person(name, password)
        service.start(workers=2)
        calm = _turns(page, service, name, password, turns, _THOUGHT)
        hasty = _turns(page, service, name, password, turns, 0.0)
    quality = {
        f"{kind}: p{share} ms": {"peer": PROMISE, "ours": round(float(np.percentile(waits, share)), 1)}
        for kind, waits in (("thought", calm), ("no pause", hasty))
        for share in (50, 99)
    }
    return Timing(
        (PROMISE / 1000,),
        (float(np.median(calm)) / 1000,),
        f"{turns} turns, a single choice, {_THOUGHT} s of thought",
        quality,
        "The peer is the promise: under 100 ms from the key press until the next task is painted.",
    )


def _turns(page: Page, service: House, name: str, password: str, turns: int, thought: float) -> list[float]:
    """Milliseconds of each turn. Raises RuntimeError if an answer is not stored in the end."""
    project = service.project(turns + 5, 1)
    page.goto(f"http://127.0.0.1:{service.port}/projects/{project}")
    sign_in(page, name, password)
    page.get_by_text("is a long way home").first.wait_for()
    page.evaluate("taken.length = 0")
    for turn in range(turns):
        if thought:
            time.sleep(thought)
        page.keyboard.press("2")
        page.keyboard.press("Enter")
        page.evaluate(_UNTIL, turn)
    waits = [float(each) for each in page.evaluate("taken")]
    until = time.monotonic() + PATIENCE_MS / 1000
    while (stored := service.service.project(project, name)[1].mine) < turns and time.monotonic() < until:
        time.sleep(0.1)
    if (stored, len(waits)) != (turns, turns):
        raise RuntimeError(f"{stored} answers are stored and {len(waits)} tasks were shown, of {turns}")
    return waits


BENCHMARK = Benchmark(
    "labeling_page",
    "In the browser the next task stands under 100 ms after the key press",
    "the promise",
    run,
)
