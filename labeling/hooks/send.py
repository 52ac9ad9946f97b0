"""Sends a delivery, as a job that is tried again until it is taken or has failed.

Signed as Standard Webhooks says (https://www.standardwebhooks.com): `webhook-id`, `webhook-timestamp`, and in
`webhook-signature` "v1," and the base64 of HMAC-SHA-256 over "id.timestamp.body" under the secret after "whsec_".
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Collection, Mapping
from typing import Any

import urllib3
from sqlalchemy import Engine

from labeling.hooks import store
from labeling.outward import outward, target
from palate.errors import InputError, PalateError, RemoteError, UnknownIdError
from palate.store import JobContext, reading, writing

PATIENCE = urllib3.Timeout(connect=5, read=15)
_READ = 4_096


class Sender:
    """The handler of these jobs. inner: hosts that may be called although they lead inward."""

    def __init__(self, engine: Engine, inner: Collection[str] = ()) -> None:
        self._engine, self._inner = engine, inner

    def __call__(self, context: JobContext) -> dict[str, Any]:
        number = context.payload["delivery"]
        try:
            with reading(self._engine) as db:
                hook, found = store.delivery(db, number)
        except UnknownIdError:
            return {"sent": False}  # the webhook is gone
        if found.state != store.WAITING:
            return {"sent": False}  # by a worker that died before it could say so
        last = context.job.attempt >= context.job.max_attempts
        status = None
        try:
            status = post(hook.url, found.body, headers(hook.secret, number, found.body, int(time.time())), self._inner)
            if not 200 <= status < 300:
                raise RemoteError(f"answered {status}.", where=target(hook.url).name)
        except PalateError as error:
            over = last or isinstance(error, InputError)  # which no other try would mend
            state = store.FAILED if over else store.WAITING
            with writing(self._engine) as db:
                store.tried(db, number, state=state, status=status, error=str(error)[:1_000])
            raise
        with writing(self._engine) as db:
            store.tried(db, number, state=store.DELIVERED, status=status, error=None)
        return {"sent": True, "status": status}


def headers(secret: str, number: int, body: str, now: int) -> dict[str, str]:
    """What says which message it is, and proves from whom. now: in seconds since 1970."""
    name = f"msg_{number}"
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"{name}.{now}.{body}".encode(), hashlib.sha256).digest()
    return {
        "Content-Type": "application/json",
        "User-Agent": "palate-webhooks",
        "webhook-id": name,
        "webhook-timestamp": str(now),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def post(url: str, body: str, sent: Mapping[str, str], inner: Collection[str] = ()) -> int:
    """The status of the answer. The name is looked up here, once, and what it leads to now is called; a redirection is
    an answer like any other.

    Raises ParameterError for an address that leads inward, RemoteError where none answers.
    """
    aim = target(url)
    address = outward(aim, inner)
    if aim.scheme == "https":
        pool: urllib3.HTTPConnectionPool = urllib3.HTTPSConnectionPool(
            address, aim.port, server_hostname=aim.host, assert_hostname=aim.host, cert_reqs="CERT_REQUIRED"
        )
    else:
        pool = urllib3.HTTPConnectionPool(address, aim.port)
    try:
        answer = pool.urlopen(
            "POST",
            aim.path,
            body=body.encode(),
            headers={"Host": aim.name, **sent},
            redirect=False,
            retries=False,
            timeout=PATIENCE,
            preload_content=False,
        )
        answer.read(_READ)
        status = answer.status
        answer.release_conn()
        return status
    except urllib3.exceptions.HTTPError as error:
        raise RemoteError(f"did not answer ({type(error).__name__}).", where=aim.name) from None
    finally:
        pool.close()
