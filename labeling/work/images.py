"""Folders of images, or archives of them, as tasks: each is checked to be an image by what is in it, kept in the
database like every file, and shown to the project's people alone.

All are checked before the first is written. An image's name is its path within the folder, and one that is there
already stays as it is, so an import that was broken off is finished by repeating it.
"""

from __future__ import annotations

import base64
import io
import re
import warnings
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Engine, select

from labeling.config import Interface
from labeling.store import files, projects
from labeling.store.definition import NewTask, Project
from labeling.store.tables import tasks
from palate.errors import InputError, MissingDependencyError, ParameterError, SchemaError, UnknownIdError
from palate.store import reading, writing

TYPES = {"PNG": "image/png", "JPEG": "image/jpeg", "GIF": "image/gif", "WEBP": "image/webp"}
"""By what Pillow calls the format: those that every browser shows. SVG is none of them, since it can hold scripts."""
ENDINGS = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".svg")
"""Files that say by their name that they are images; others in a folder are left aside."""
MAX_BYTES = 20 << 20
MAX_PIXELS = 60_000_000
MAX_IMAGES = 100_000
SIDE = 32
"""Pixels of an image's sides as a model sees it."""
_BATCH = 50

Told = Callable[[float, str], None]


@dataclass(frozen=True)
class Picture:
    """A file that should be an image. path: within the folder, with slashes."""

    path: str
    read: Callable[[], bytes]


@dataclass(frozen=True)
class Seen:
    """What a file turned out to be: its media type, its sides in pixels as it is shown, a digest of its content."""

    type: str
    width: int
    height: int
    digest: bytes


def in_folder(folder: Path) -> list[Picture]:
    """The images below a folder, by their names, in their paths' order. Hidden files are left aside.

    Raises SchemaError for a link that leads out of the folder, InputError if it cannot be read.
    """
    root = folder.resolve()
    found: list[Picture] = []
    try:
        for path in sorted(root.rglob("*")):
            inside = path.relative_to(root)
            if any(part.startswith(".") for part in inside.parts) or path.suffix.lower() not in ENDINGS:
                continue
            target = path.resolve()
            if not target.is_relative_to(root):
                raise SchemaError("is a link that leads out of the folder.", where=str(inside))
            if target.is_file():
                found.append(Picture(inside.as_posix(), lambda target=target: _read(target)))  # type: ignore[misc]
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}.", where=str(folder)) from None
    return _some(found, str(folder))


def in_zip(data: bytes) -> list[Picture]:
    """The images in an archive. Raises SchemaError for what is none, or a path that leaves it."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
        entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    except (zipfile.BadZipFile, ValueError, OverflowError) as error:
        raise SchemaError(f"is no ZIP archive: {error}.", where="file") from None
    found = []
    for entry in sorted(entries, key=lambda each: each.filename):
        path = PurePosixPath(entry.filename)
        if path.is_absolute() or ".." in path.parts or "\\" in entry.filename:
            raise SchemaError("leads out of the archive.", where=entry.filename[:200])
        hidden = any(part.startswith((".", "__MACOSX")) for part in path.parts)
        if not hidden and path.suffix.lower() in ENDINGS:
            found.append(Picture(path.as_posix(), lambda entry=entry: _unzipped(archive, entry)))  # type: ignore[misc]
    return _some(found, "file")


def _some(found: list[Picture], where: str) -> list[Picture]:
    if not found:
        raise SchemaError("there is no image in it.", where=where, hint=f"Images end in {', '.join(ENDINGS[:5])}.")
    if len(found) > MAX_IMAGES:
        raise SchemaError(f"holds {len(found)} images; at most {MAX_IMAGES} are taken in at once.", where=where)
    return found


def _read(path: Path) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}.", where=str(path)) from None


def _unzipped(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    try:
        with archive.open(entry) as file:
            return file.read(MAX_BYTES + 1)  # whatever size the archive claims
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError, ValueError) as error:
        raise SchemaError(f"cannot be unpacked: {error}.", where=entry.filename[:200]) from None


def look(name: str, data: bytes) -> Seen:
    """What an image is, by its content. Raises SchemaError naming it for what is none, damaged or too large."""
    if len(data) > MAX_BYTES:
        raise SchemaError(f"is larger than {MAX_BYTES >> 20} MB.", where=name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Pillow about oddities that browsers bear
            with pillow().open(io.BytesIO(data), formats=list(TYPES)) as image:
                kind = image.format
                if image.width * image.height > MAX_PIXELS:
                    raise SchemaError(f"has {image.width} x {image.height} pixels, too many.", where=name)
                turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
                width, height = (image.height, image.width) if turned else (image.width, image.height)
                image.draft("RGB", (64, 64))  # reads a JPEG to its end, at a fraction of the work
                image.load()
    except SchemaError:
        raise
    except Exception as error:
        hint = f"Images are {', '.join(each.lower() for each in TYPES)}; what is in the file counts, not its name."
        raise SchemaError(f"is no image that can be shown ({type(error).__name__}).", where=name, hint=hint) from None
    return Seen(TYPES[str(kind)], width, height, blake2b(data).digest())


def pillow() -> Any:
    """Pillow's Image. Raises MissingDependencyError without it."""
    try:
        from PIL import Image
    except ImportError:
        raise MissingDependencyError("images need Pillow.", hint="pip install 'palate[labeling]'") from None
    return Image


def field_of(interface: Interface) -> str:
    """The field of a task's data that holds its image. Raises ParameterError if the project shows none."""
    for shown in interface.objects:
        if shown.tag == "Image" and shown.field is not None:
            return shown.field
    raise ParameterError(
        "the project shows no image.", where="project", hint='Its interface needs <Image name="image" value="$image"/>.'
    )


def address(project_id: int, file_id: int) -> str:
    """Where the labeling service has an image."""
    return f"/projects/{project_id}/images/{file_id}"


def import_pictures(engine: Engine, project_id: int, pictures: Sequence[Picture], told: Told) -> dict[str, int]:
    """Check all images, then add those that are new, a few to a transaction; what was new."""
    with reading(engine) as db:
        project = projects.get(db, project_id)
        field = field_of(project.interface)
        present = _present(db, project, [picture.path for picture in pictures])
    fresh = [picture for picture in pictures if picture.path not in present]
    seen = []
    for number, picture in enumerate(fresh):
        if number % _BATCH == 0:
            told(0.05 + 0.45 * number / len(fresh), f"{number:,} of {len(fresh):,} images checked")
        seen.append(look(picture.path, picture.read()))
        NewTask(picture.path, {}, where=picture.path)
    added = 0
    for first in range(0, len(fresh), _BATCH):
        told(0.5 + 0.5 * first / len(fresh), f"{first:,} of {len(fresh):,} images")
        with writing(engine) as db:
            project = projects.get(db, project_id)
            batch = list(zip(fresh, seen, strict=True))[first : first + _BATCH]
            meanwhile = _present(db, project, [picture.path for picture, _ in batch])
            new = [_kept(db, project, field, *each) for each in batch if each[0].path not in meanwhile]
            added += projects.add_tasks(db, project, new)
    return {"tasks": added, "present": len(pictures) - added, "answers": 0}


def _present(db: Connection, project: Project, names: Sequence[str]) -> set[str]:
    found: set[str] = set()
    for first in range(0, len(names), 500):
        query = select(tasks.c.external_id).where(
            tasks.c.project_id == project.id, tasks.c.external_id.in_(names[first : first + 500])
        )
        found.update(db.execute(query).scalars())
    return found


def _kept(db: Connection, project: Project, field: str, picture: Picture, seen: Seen) -> NewTask:
    """The task of an image that is in the store from now on."""
    data = picture.read()
    if blake2b(data).digest() != seen.digest:
        raise SchemaError("was changed while it was read.", where=picture.path)
    file = files.begin(db, project, seen.type)
    for number, first in enumerate(range(0, len(data), files.PART)):
        files.add(db, file, number, data[first : first + files.PART])
    files.end(db, file)
    shown = {field: address(project.id, file), "path": picture.path, "width": seen.width, "height": seen.height}
    return NewTask(picture.path, shown)


def pixels_of(
    engine: Engine, project_id: int, addresses: Sequence[str], *, check: Callable[[], None] = lambda: None
) -> NDArray[np.float32]:
    """Images as a model looks at them: (n, 32, 32, 3), from 0 to 1, the whole image whatever its shape.

    Those that this service keeps and those that are in the task itself (`data:`); nothing is fetched from anywhere.
    check: called every now and then, may end the work. Raises SchemaError for an address of another kind.
    """
    found = np.zeros((len(addresses), SIDE, SIDE, 3), dtype=np.float32)
    for number, where in enumerate(addresses):
        if number % _BATCH == 0:
            check()
        content = _content(engine, project_id, where)
        look(where[:80], content)
        with pillow().open(io.BytesIO(content), formats=list(TYPES)) as image:
            image.draft("RGB", (SIDE * 2, SIDE * 2))
            found[number] = np.asarray(image.convert("RGB").resize((SIDE, SIDE)), dtype=np.float32) / 255
    return found


def _content(engine: Engine, project_id: int, where: str) -> bytes:
    own = re.fullmatch(rf"/projects/{project_id}/images/([0-9]{{1,18}})", where)
    if own:
        with reading(engine) as db:
            file = image(db, projects.get(db, project_id), int(own[1]))
            return b"".join(files.parts(db, file.id))
    inline = re.fullmatch(r"data:image/[a-z]+;base64,([A-Za-z0-9+/=]+)", where)
    if inline:
        with suppress(ValueError):
            return base64.b64decode(inline[1], validate=True)
    raise SchemaError(
        "is no image that this service has.", where=where[:80], hint="Import the images: palate label import FOLDER."
    )


def image(db: Connection, project: Project, file_id: int) -> files.File:
    """One of the project's images; its name is its media type. Raises UnknownIdError."""
    found = files.get(db, file_id) if 0 < file_id < 2**63 else None
    if found is None or found.project_id != project.id or found.name not in TYPES.values() or not found.whole:
        raise UnknownIdError(f"project {project.id} has no image {file_id}.")
    return found
