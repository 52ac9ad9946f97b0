"""The images of a project, for those who work on it."""

from __future__ import annotations

from flask import Blueprint, Response

from labeling.api.caller import MANAGE, labeling, me
from labeling.store import files, members, projects
from labeling.work.images import image
from palate.store import reading
from palate.web import principal

DAY = 24 * 3600


def add_images(bp: Blueprint) -> None:
    """Add the images to the house's blueprint."""
    bp.add_url_rule("/projects/<int:project_id>/images/<int:file_id>", view_func=show)


def show(project_id: int, file_id: int) -> Response:
    """One image. It never changes, so browsers may keep it; nobody between may."""
    with reading(labeling().engine) as db:
        project = projects.get(db, project_id)
        if not principal().allows(MANAGE):
            members.require_worker(db, project, me())
        found = image(db, project, file_id)
        content = b"".join(files.parts(db, file_id))
    headers = {
        "Cache-Control": f"private, max-age={DAY}, immutable",
        # Opened by itself it is an image and nothing else, whatever a browser might take it for.
        "Content-Security-Policy": "default-src 'none'; sandbox",
    }
    return Response(content, content_type=found.name, headers=headers)
