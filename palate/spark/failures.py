"""Spark's own failures as Palate's errors: the root cause in one line instead of two stacks."""

from __future__ import annotations

import errno
import re

from palate import errors
from palate.errors import InputError, PalateError

_INPUT_CLASSES = (
    "FileNotFoundException",
    "SparkFileNotFoundException",
    "EOFException",
    "ZipException",
    "AccessControlException",
    "CharacterCodingException",
    "MalformedInputException",
    "UnsupportedFileSystemException",
)
_INPUT_WORDS = re.compile(
    r"is not a Parquet file|PATH_NOT_FOUND|FAILED_READ_FILE|UNABLE_TO_INFER_SCHEMA|CANNOT_MERGE_SCHEMAS|not in gzip|"
    r"invalid stored block|incorrect header check|CANNOT_READ_FILE|UNSUPPORTED_DATA_SOURCE|No FileSystem for scheme",
    re.IGNORECASE,
)
_FILE = re.compile(r"(?:file:/+|[a-z0-9]+://)[^\s,'\"]+")


def explain(error: BaseException) -> PalateError | None:
    """The Palate error that says what a Spark or py4j failure was about, or a name too long for the file system;
    None for errors of any other origin.

    An InputError where the cause lies in what was read, else a PalateError.
    """
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:  # asking whether it exists raises it already
        return InputError("the name is too long for a file.", where=f"{str(error.filename)[:80]}...")
    if not type(error).__module__.startswith(("pyspark", "py4j")):
        return None
    raised = re.search(r"\bpalate\.errors\.(\w+): (.*)$", str(error), re.MULTILINE)
    if raised:  # by ourselves, on an executor
        kind: type[PalateError] = getattr(errors, raised[1], PalateError)
        return kind(raised[2])
    chain = list(_chain(error))
    text = "\n".join(f"{name}: {message}" for name, message in chain)
    name, message = next((link for link in reversed(chain) if link[1]), chain[-1])
    worker = re.search(r"^(\w+(?:\.\w+)*(?:Error|Exception)): (.*)$", str(error), re.MULTILINE)
    if worker and "Traceback (most recent call last)" in str(error):
        name, message = worker[1], worker[2]
    first = (message.strip() or name).splitlines()[0].strip()[:400]
    if not first.endswith("."):
        first += "."
    file = _FILE.search(text)
    where = file[0].rstrip(".:;)") if file else None
    if any(name.endswith(_INPUT_CLASSES) for name, _ in chain) or _INPUT_WORDS.search(text):
        return InputError(f"cannot be read ({first[:-1]}).", where=where or "input")
    return PalateError(f"Spark failed: {first}", where=where)


def _chain(error: BaseException) -> list[tuple[str, str]]:
    """(class, message) of the error and, on the JVM's side, of each cause down to the root."""
    links = [(type(error).__name__, str(error).split("\n\nJVM stacktrace")[0])]
    cause = getattr(error, "java_exception", None) or getattr(error, "_origin", None)
    for _ in range(20):
        if cause is None:
            break
        links.append((cause.getClass().getName(), cause.getMessage() or ""))
        cause = cause.getCause()
    return links
