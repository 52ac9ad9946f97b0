"""Label Studio's editor in a frame of its own: the one place where code runs that is not ours.

The frame's document is sandboxed into an origin of its own. It has no cookies, no storage and no way to any server: a
task comes to it as a message from our page, an answer goes back as one. So whatever a task or an interface makes that
editor do, it can neither act for the person nor send anything anywhere.

<HyperText> is shown by that editor in a frame within, which it has to reach into: with it the frame shares our origin.
Then it is the policy alone that holds: no script but the editor's, no requests, no forms.
"""

from __future__ import annotations

from flask import Blueprint, Response, current_app, render_template, request
from werkzeug.exceptions import NotFound

from labeling import editor
from labeling.config import Interface
from labeling.settings import LabelingSettings
from palate.web import public
from palate.web.app import CSP

TYPES = {"main.js": "text/javascript", "main.css": "text/css"}
YEAR = 365 * 24 * 3600


def add_editor(bp: Blueprint) -> None:
    """Add the frame and the editor's files to the house's blueprint."""
    bp.add_url_rule("/editor", view_func=frame)
    bp.add_url_rule(f"/editor/{editor.VERSION}/<name>", view_func=editor_file)


def settings() -> LabelingSettings:
    """Those of the running app."""
    found: LabelingSettings = current_app.extensions["palate"].settings
    return found


def shares(interface: Interface) -> bool:
    """Whether the editor has to share our origin to show this."""
    return any(shown.tag == "HyperText" for shown in interface.objects)


def is_here() -> bool:
    """Whether the editor can be shown."""
    return editor.is_here(settings().cache)


def page_policy() -> str:
    """The policy of the page around the frame: the house's own, the frame, and images from where settings allow."""
    hosts = " ".join(settings().image_hosts)
    return f"{CSP.replace('img-src', f'img-src {hosts} blob:')}; frame-src 'self'"


@public
def frame() -> Response:
    """The empty document that the editor fills once our page sends it a task. It holds nothing of anybody's."""
    hosts = " ".join(settings().image_hosts)
    shared = " allow-same-origin" if "shared" in request.args else ""
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; font-src data:; "
        f"img-src data: blob: {hosts}; media-src data: blob: {hosts}; connect-src data: blob:; "
        "frame-ancestors 'self'; base-uri 'none'; form-action 'none'; "
        f"sandbox allow-scripts{shared}"
    )
    page = render_template("labeling/frame.html", version=editor.VERSION)
    return Response(page, headers={"Content-Security-Policy": policy, "X-Frame-Options": "SAMEORIGIN"})


@public
def editor_file(name: str) -> Response:
    """One of the editor's files, which are the same for everybody: the frame has no cookies to ask with."""
    if name not in TYPES:
        raise NotFound
    content = editor.read(settings().cache, name)
    headers = {"Cache-Control": f"public, max-age={YEAR}, immutable"}
    return Response(content, content_type=f"{TYPES[name]}; charset=utf-8", headers=headers)
