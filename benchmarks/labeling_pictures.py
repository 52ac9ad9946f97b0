"""`python -m benchmarks.labeling_pictures`: the labeling pages as the docs show them, taken in a real Chromium.

A service of its own is filled with a drawn street and worked on by mouse and keys as people do: boxes in our own
editor, outlines in Label Studio's (`palate label editor` fetches it), webhooks that were sent what happened. `--look`
takes each page light and dark, wide and as a phone shows it: for looking at, not for the docs.
"""

from __future__ import annotations

import io
import os
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import click
from PIL import Image, ImageDraw
from playwright.sync_api import Page, expect

from benchmarks.labeling_house import PATIENCE_MS, House, browser, house, sign_in
from labeling.store.definition import Definition
from labeling.work.images import Picture, import_pictures

_LABELS = ("House", "Tree", "Car")
_SIDES = (480, 300)
_BOXES = ((27.5, 26, 51.5, 79), (60, 27, 78.5, 80), (5.5, 72, 25.5, 91))
"""Where the labels of that order are in the street: left, top, right, bottom, in percent."""
_OUTLINES = (
    ((29, 79), (29, 45), (39.5, 26), (50, 45), (50, 79)),
    ((6, 90), (6, 79), (10.5, 79), (13, 73), (20, 73), (23, 79), (25.3, 79), (25.3, 90)),
)
_OUTLINED = """<View>
  <Header value="Outline what you see, then say what the light is like"/>
  <Image name="street" value="$image"/>
  <PolygonLabels name="thing" toName="street">
    <Label value="House" background="#6a3fb0"/><Label value="Car" background="#d98a00"/>
  </PolygonLabels>
  <Choices name="light" toName="street" showInline="true"><Choice value="Day"/><Choice value="Night"/></Choices>
</View>"""
_LOOKS = {
    "wide": {"viewport": {"width": 1000, "height": 700}},
    "wide-dark": {"viewport": {"width": 1000, "height": 700}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 360, "height": 740}},
    "phone-dark": {"viewport": {"width": 360, "height": 740}, "color_scheme": "dark"},
}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=Path("docs/images"), show_default=True)
@click.option("--look", is_flag=True, help="Each page light and dark, wide and on a phone.")
def main(out: Path, look: bool) -> None:
    """Take the pictures of boxes, of Label Studio's editor and of webhooks."""
    out.mkdir(parents=True, exist_ok=True)
    name, password = "ann", secrets.token_hex(8)
    with _listener() as port, house() as service:
        os.environ["PALATE_WEBHOOK_HOSTS"] = f'["localhost:{port}", "localhost:{port + 1}"]'
        service.person(name, password, "label:manage")
        boxes = _project(service, Definition("What is in the street?", _LABELS, kind="boxes"))
        outlines = _project(service, Definition("Outlines of the street", config=_OUTLINED))
        service.start(workers=1, jobs=1)
        address = f"http://127.0.0.1:{service.port}/projects"
        pages: dict[str, tuple[str, Callable[[Page], None]]] = {
            "boxes": (f"{address}/{boxes}", _draw_boxes),
            "editor": (f"{address}/{outlines}", _draw_outlines),
            "webhooks": (f"{address}/{boxes}/webhooks", lambda page: _tell(page, port)),
        }
        for kind, options in (_LOOKS if look else {"": _LOOKS["wide"]}).items():
            with browser(**options) as page:
                for shown, (url, work) in pages.items():
                    page.goto(url)
                    sign_in(page, name, password)
                    work(page)
                    file = out / ("-".join(filter(None, ("labeling", shown, kind))) + ".png")
                    _keep(page.screenshot(full_page=True), file)
                    click.echo(f"{file}: {file.stat().st_size:,} bytes")


def _project(service: House, definition: Definition) -> int:
    """A project with the same street three times, told apart by the file's name."""
    number = service.service.create(definition)[0].id
    street = _street()
    pictures = [Picture(f"street-{each}.png", lambda: street) for each in (1, 2, 3)]
    import_pictures(service.service.engine, number, pictures, lambda *_: None)
    return number


def _at(area: dict[str, float], x: float, y: float) -> tuple[float, float]:
    return area["x"] + x * area["width"] / 100, area["y"] + y * area["height"] / 100


def _draw_boxes(page: Page) -> None:
    image = page.locator("#stage img")
    expect(image).to_have_js_property("naturalWidth", _SIDES[0], timeout=PATIENCE_MS)
    if page.locator("#marks li").count():  # kept from the look before
        return
    for number, (left, top, right, bottom) in enumerate(_BOXES):
        page.keyboard.press("Escape")
        page.keyboard.press(str(number + 1))
        area = image.bounding_box()
        assert area is not None
        page.mouse.move(*_at(area, left, top))
        page.mouse.down()
        page.mouse.move(*_at(area, right, bottom), steps=4)
        page.mouse.up()


def _draw_outlines(page: Page) -> None:
    page.locator("#foreign[data-shown]").wait_for()
    inside = page.frame_locator("#foreign")
    canvas = inside.locator("canvas").first
    canvas.wait_for()
    page.wait_for_timeout(1_000)  # the editor measures the image before it takes marks
    if inside.get_by_text("No Regions created yet").count():
        area = canvas.bounding_box()
        assert area is not None
        for number, corners in enumerate(_OUTLINES):
            page.keyboard.press(str(number + 1))
            for corner in (*corners, corners[0]):
                page.mouse.click(*_at(area, *corner))
                page.wait_for_timeout(600)  # two clicks soon after one another are a double click
            page.keyboard.press("Escape")
        inside.get_by_text("Day").click()
        page.wait_for_timeout(2_500)  # a draft is kept after a second and a half


def _tell(page: Page, port: int) -> None:
    """Two webhooks: one that is heard, and one to a port on which nobody listens."""
    for number in (port, port + 1):
        if page.locator(".card h2", has_text=f":{number}/").count():
            continue
        page.get_by_label("Address").fill(f"http://localhost:{number}/hook")
        page.get_by_role("button", name="Add a webhook").click()
        card = page.locator(".card", has_text=f":{number}/")
        card.get_by_role("button", name="Send a ping").click()
        for _ in range(100):
            if page.locator(".card", has_text=f":{number}/").get_by_text("delivered", exact=True).count():
                break
            if page.locator(".card", has_text=f":{number}/").get_by_text("did not answer").count():
                break
            page.wait_for_timeout(300)
            page.goto(page.url)
    page.locator("details summary").first.click()


def _street() -> bytes:
    """A house, a tree and a car, drawn at four times the size for smooth edges."""
    image = Image.new("RGB", (_SIDES[0] * 4, _SIDES[1] * 4), (207, 226, 238))
    draw = ImageDraw.Draw(image)

    def scaled(*points: float) -> list[float]:
        return [each * 4 for each in points]

    draw.ellipse(scaled(396, 24, 436, 64), fill=(247, 211, 106))
    draw.rectangle(scaled(0, 214, 480, 240), fill=(150, 178, 122))
    draw.rectangle(scaled(0, 240, 480, 300), fill=(120, 120, 124))
    for left in range(10, 480, 60):
        draw.rectangle(scaled(left, 283, left + 30, 286), fill=(226, 222, 206))
    draw.rectangle(scaled(140, 136, 240, 236), fill=(232, 206, 170))
    draw.polygon(scaled(134, 136, 190, 80, 246, 136), fill=(166, 76, 58))
    draw.rectangle(scaled(178, 190, 202, 236), fill=(110, 74, 52))
    for left in (152, 208):
        draw.rectangle(scaled(left, 152, left + 22, 176), fill=(152, 190, 212))
    draw.rectangle(scaled(326, 170, 340, 238), fill=(112, 82, 58))
    draw.ellipse(scaled(292, 84, 374, 184), fill=(86, 132, 78))
    draw.rounded_rectangle(scaled(30, 238, 120, 262), radius=28, fill=(58, 104, 160))
    draw.polygon(scaled(48, 240, 62, 220, 96, 220, 108, 240), fill=(58, 104, 160))
    draw.polygon(scaled(56, 238, 66, 225, 92, 225, 100, 238), fill=(206, 226, 236))
    for left in (42, 90):
        draw.ellipse(scaled(left, 252, left + 20, 272), fill=(40, 40, 44))
    file = io.BytesIO()
    image.resize(_SIDES, Image.Resampling.LANCZOS).save(file, "PNG")
    return file.getvalue()


def _keep(taken: bytes, file: Path) -> None:
    """A screenshot in 256 colours: a third of the bytes, and nothing to be seen of it."""
    with Image.open(io.BytesIO(taken)) as image:
        image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(file, optimize=True)


@contextmanager
def _listener() -> Iterator[int]:
    """A port on which every message is taken."""

    class Taking(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Taking) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


if __name__ == "__main__":
    main()
