"""AWS Signature Version 4, the server's side: requests of AWS's own clients, signed with a key's id and secret.

The secret is not stored: it is made of the key's row and the key of this installation (`secret.key`), so that neither
the database alone nor the file alone is enough to sign. AWS describes the signature in "Signature Version 4 for API
requests" (IAM user guide).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote, unquote_to_bytes

from werkzeug.wrappers import Request

from palate.errors import UnauthenticatedError

SCHEME = "AWS4-HMAC-SHA256"
SKEW_SECONDS = 15 * 60
"""How far the client's clock may be off."""
_SAFE = "-_.~"
_CREDENTIAL = re.compile(r"([A-Za-z0-9_-]{1,128})/(\d{8})/([^/\s]{1,64})/([^/\s]{1,64})/aws4_request")
_NEEDED = frozenset({"host", "x-amz-date"})


class SignatureError(UnauthenticatedError):
    """A signature is incomplete, too old, or not that of the request. code: AWS's name of the error."""

    def __init__(self, code: str, message: str, *, hint: str | None = None) -> None:
        self.code = code
        super().__init__(message, hint=hint)


@dataclass(frozen=True)
class Signature:
    """What the Authorization header says. key: the id of the key; scope: day/region/service/aws4_request."""

    key: str
    day: str
    region: str
    service: str
    headers: tuple[str, ...]
    signature: str

    @property
    def scope(self) -> str:
        return f"{self.day}/{self.region}/{self.service}/aws4_request"


def secret_of(installation: bytes, key: str, stamp: str) -> str:
    """The secret of a key, 43 characters. stamp: changes when the key's row does."""
    made = hmac.digest(installation, f"aws secret\n{key}\n{stamp}".encode(), "sha256")
    return base64.urlsafe_b64encode(made).decode().rstrip("=")


def read(header: str) -> Signature:
    """The header's parts. Raises SignatureError for one that is incomplete."""
    parts = {}
    for part in header[len(SCHEME) :].split(","):
        name, _, value = part.strip().partition("=")
        parts[name] = value
    credential = _CREDENTIAL.fullmatch(parts.get("Credential", ""))
    headers = tuple(parts.get("SignedHeaders", "").split(";"))
    signature = parts.get("Signature", "")
    if credential is None or not re.fullmatch(r"[0-9a-f]{64}", signature):
        raise SignatureError("IncompleteSignatureException", "The Authorization header is not a whole signature.")
    if not set(headers) >= _NEEDED:
        raise SignatureError("IncompleteSignatureException", "The headers host and x-amz-date must be signed.")
    return Signature(credential[1], credential[2], credential[3], credential[4], headers, signature)


def verify(request: Request, signed: Signature, secret: str, now: datetime) -> None:
    """Raises SignatureError unless the request, body included, was signed with the secret, and lately."""
    told = request.headers.get("X-Amz-Date", "")
    try:
        moment = datetime.strptime(told, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise SignatureError("IncompleteSignatureException", "The header x-amz-date is no date.") from None
    if told[:8] != signed.day:
        raise SignatureError("InvalidSignatureException", "The day of the credential is not that of x-amz-date.")
    if abs((now - moment).total_seconds()) > SKEW_SECONDS:
        raise SignatureError(
            "InvalidSignatureException",
            f"The signature is of {told}, which is more than 15 minutes off; here it is {now:%Y%m%dT%H%M%SZ}.",
            hint="Set the clock.",
        )
    wanted = signature(canonical(request, signed.headers), signed, told, secret)
    if not hmac.compare_digest(wanted, signed.signature):
        raise SignatureError(
            "InvalidSignatureException",
            "The signature does not match the request.",
            hint="Check the secret, and that no proxy changes the path, the signed headers or the body.",
        )


def signature(canonical_request: str, signed: Signature, moment: str, secret: str) -> str:
    """The signature of a canonical request, in hexadecimal digits."""
    hashed = hashlib.sha256(canonical_request.encode("utf-8", "surrogateescape")).hexdigest()
    text = "\n".join((SCHEME, moment, signed.scope, hashed))
    key = f"AWS4{secret}".encode()
    for part in (signed.day, signed.region, signed.service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.new(key, text.encode(), "sha256").hexdigest()


def canonical(request: Request, headers: Iterable[str]) -> str:
    """The request in the one form that is signed. The path, escaped once on the wire, is escaped once more."""
    path = quote(quote(request.path, safe=f"/{_SAFE}"), safe=f"/{_SAFE}")
    values = []
    for name in headers:
        value = request.headers.get(name)
        if value is None:
            raise SignatureError("InvalidSignatureException", f"The header {name[:80]} is signed, but was not sent.")
        values.append(f"{name}:{' '.join(value.split())}\n")
    body = hashlib.sha256(request.get_data(cache=True)).hexdigest()
    return "\n".join((request.method, path, _query(request.query_string), "".join(values), ";".join(headers), body))


def _query(query: bytes) -> str:
    pairs = []
    for part in query.split(b"&"):
        if part:
            name, _, value = part.partition(b"=")
            pairs.append((quote(unquote_to_bytes(name), safe=_SAFE), quote(unquote_to_bytes(value), safe=_SAFE)))
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))
