"""Which addresses this service calls on somebody's word: none that lead inward, where whoever asks could not go.

A name is looked up once and that address is called: a name that answers otherwise the next time leads nowhere else.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import urlsplit

from palate.errors import ParameterError, RemoteError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
LONGEST = 500


@dataclass(frozen=True)
class Target:
    """An address of a web server. path: with its query."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def name(self) -> str:
        """`host:port` as a Host header has it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == {"http": 80, "https": 443}[self.scheme] else f"{host}:{self.port}"


def target(url: str) -> Target:
    """The parts of an address. Raises ParameterError for what is none of a web server."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ParameterError("is no address.", where="url") from None
    if parts.scheme not in ("http", "https") or not host or len(url) > LONGEST or not url.isascii() or " " in url:
        raise ParameterError(
            f"is no address of a web server, in {LONGEST} characters at most.",
            where="url",
            hint="Write https://example.org/hook, for instance.",
        )
    if not url.isprintable() or parts.username is not None or parts.password is not None or parts.fragment:
        raise ParameterError("holds a name, a password or a fragment.", where="url")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme, host, port or (443 if parts.scheme == "https" else 80), path)


def addresses(host: str, port: int) -> list[Address]:
    """What a name leads to. Raises RemoteError if it is not found."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError):
        raise RemoteError(f"{host!r} is not found.", hint="Is the name right?") from None
    result: list[Address] = []
    for *_, address in found:
        one = ipaddress.ip_address(str(address[0]).split("%")[0])
        result.append(one.ipv4_mapped or one if isinstance(one, ipaddress.IPv6Address) else one)
    return result


def outward(aim: Target, inner: Collection[str] = ()) -> str:
    """The address to call: one that the whole world could.

    inner: hosts, `host:port` where it is not the usual one, that may be called wherever they are. Raises ParameterError
    if any address of the name leads inward, RemoteError for a name that is not found.
    """
    found = addresses(aim.host, aim.port)
    if aim.name not in inner:
        for each in found:
            if not each.is_global or each.is_multicast:
                raise ParameterError(
                    f"leads inward, to {each}, where this service calls nobody.",
                    where="url",
                    hint=f"If it may, name it in PALATE_WEBHOOK_HOSTS: {aim.name}",
                )
    return str(found[0])
