"""The key that signs session cookies: made at the first start, kept for this user alone, never in the settings."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from palate.errors import StoreError


def secret_key(home: Path) -> bytes:
    """The key in `home`/secret.key; several workers that start at once agree on one. Raises StoreError."""
    file = home / "secret.key"
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not file.exists():
            _create(file)
        key = file.read_bytes()
    except OSError as error:
        raise StoreError(f"The cookie key cannot be kept: {error.strerror}.", where=str(file)) from error
    if len(key) < 32:
        raise StoreError("The cookie key is damaged.", where=str(file), hint="Delete it; everybody signs in anew.")
    return key


def _create(file: Path) -> None:
    """Written beside and linked into place: whoever is first wins, and nobody reads half a key."""
    draft = file.with_name(f".secret.{os.getpid()}.{secrets.token_hex(4)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(secrets.token_bytes(48))
            out.flush()
            os.fsync(out.fileno())
        try:
            os.link(draft, file)
        except FileExistsError:
            return
    finally:
        draft.unlink()
