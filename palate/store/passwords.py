"""Passwords: kept as scrypt with a salt of their own, never as they are."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

from palate.errors import ParameterError

COST, BLOCK, LANES = 2**14, 8, 5
"""scrypt's N, r and p: 16 MiB and about a fifth of a second each, OWASP's recommendation for little memory."""
SHORTEST, LONGEST = 10, 1000


def hash_password(password: str) -> str:
    """`scrypt$N$r$p$salt$hash`. Raises ParameterError for a password shorter than 10 or longer than 1000."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise ParameterError(f"needs {SHORTEST} to {LONGEST} characters.", where="password")
    salt = secrets.token_bytes(16)
    digest = _scrypt(password, salt, COST, BLOCK, LANES)
    return f"scrypt${COST}${BLOCK}${LANES}${_text(salt)}${_text(digest)}"


def verify_password(password: str, kept: str) -> bool:
    """Whether `password` is the one that `kept` was made from, compared in constant time."""
    if len(password) > LONGEST:
        return False
    _, cost, block, lanes, salt, digest = kept.split("$")
    found = _scrypt(password, base64.b64decode(salt), int(cost), int(block), int(lanes))
    return hmac.compare_digest(found, base64.b64decode(digest))


def _scrypt(password: str, salt: bytes, cost: int, block: int, lanes: int) -> bytes:
    encoded = password.encode("utf-8", "surrogatepass")
    return hashlib.scrypt(encoded, salt=salt, n=cost, r=block, p=lanes, maxmem=256 * cost * block, dklen=32)


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")
