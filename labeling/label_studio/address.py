"""Which addresses of a Label Studio are called: a token goes there, so it had better be one."""

from __future__ import annotations

from urllib.parse import urlsplit

from labeling.label_studio.tables import URL_LENGTH
from labeling.outward import addresses
from palate.errors import ParameterError

METADATA = frozenset({"100.100.100.200", "fd00:ec2::254"})
"""Where clouds tell machines their credentials, beside the link-local addresses."""


def checked(url: str, *, link_local: bool = False) -> str:
    """The address without a slash at its end, in one spelling.

    link_local: whether link-local addresses may be called, which is where clouds keep machines' credentials.
    Raises ParameterError for what is no address of a web server, or one that is not called; RemoteError for a name
    that is not found.
    """
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ParameterError("is no address.", where="url") from None
    if parts.scheme not in ("http", "https") or not host or len(url) > URL_LENGTH or not url.strip().isprintable():
        raise ParameterError(
            "is no address of a web server.", where="url", hint="Write https://label-studio.example.org, for instance."
        )
    if parts.username is not None or parts.password is not None:
        raise ParameterError("holds a name or a password.", where="url", hint="The token is all that is needed.")
    if parts.query or parts.fragment:
        raise ParameterError("has more than a path after its host.", where="url")
    if not link_local:
        for address in addresses(host, port or (443 if parts.scheme == "https" else 80)):
            if address.is_link_local or address.is_unspecified or address.is_multicast or str(address) in METADATA:
                raise ParameterError(
                    f"leads to {address}, which is not called: clouds keep machines' credentials there.",
                    where="url",
                    hint="If a Label Studio really listens there, say so with --link-local.",
                )
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}{'' if port is None else f':{port}'}{parts.path.rstrip('/')}"
