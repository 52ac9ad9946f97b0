"""Who may do what: API keys for programs, names and passwords for people, one-time codes for a first visit.

A key is shown once and kept as SHA-256 (its secret is 256 random bits, so there is nothing to guess). A person's
password is kept as scrypt. Failed sign-ins are counted in the database, per name and address, so that the throttle
holds across workers and restarts.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Engine

from palate.errors import ConflictError, ParameterError, StoreError, ThrottledError, UnknownIdError
from palate.store.engine import reading, writing
from palate.store.passwords import hash_password, verify_password
from palate.store.quick import Quick
from palate.store.tables import codes, failures, keys, people
from palate.store.types import clock

FREE_TRIES = 5
LONGEST_WAIT = timedelta(minutes=15)
FORGET_AFTER = timedelta(hours=1)
TOUCH_EVERY = timedelta(minutes=1)
_SCOPE = re.compile(r"[a-z][a-z0-9_.:-]{0,63}|\*")


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks. `id` is the key's id or the person's name; the scope `*` stands for all of them."""

    kind: Literal["key", "person"]
    id: str
    name: str
    scopes: frozenset[str]
    stamp: str
    """Changes when the credentials do: a session made under an older stamp is over."""

    def allows(self, scope: str) -> bool:
        return scope in self.scopes or "*" in self.scopes


@dataclass(frozen=True, slots=True)
class Key:
    """An API key as it may be shown: without its secret."""

    id: str
    name: str
    scopes: tuple[str, ...]
    created: datetime
    last_used: datetime | None
    revoked: datetime | None


@dataclass(frozen=True, slots=True)
class Person:
    name: str
    scopes: tuple[str, ...]
    created: datetime
    disabled: datetime | None


class Accounts:
    """Keys and people of one house's database. Safe to share between threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # Verified against when there is no such person, so that the answer takes as long.
        self._nobody: str | None = None
        # Of whoever makes a request, every half second: in a transaction it took seven times as much work.
        now: sa.ColumnElement[Any] = sa.func.clock_timestamp() if engine.dialect.name == "postgresql" else sa.null()
        asked = sa.select(keys.c.id, keys.c.name, keys.c.scopes, keys.c.secret_hash, keys.c.last_used, now)
        self._key = Quick(engine, asked.where(keys.c.id == sa.bindparam("key"), keys.c.revoked.is_(None)))
        known = sa.select(people.c.name, people.c.scopes, people.c.password_hash)
        self._known = Quick(engine, known.where(people.c.name == sa.bindparam("who"), people.c.disabled.is_(None)))

    # Keys

    def create_key(self, name: str, scopes: Iterable[str]) -> tuple[str, str]:
        """A new key: (id, token). The token is not kept and cannot be shown again."""
        row = {"name": _name(name), "scopes": _scopes(scopes)}
        key, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
        with writing(self._engine) as db:
            db.execute(keys.insert().values(id=key, secret_hash=_sha256(secret), created=clock(db), **row))
        return key, f"palate_{key}_{secret}"

    def check_token(self, token: str) -> Principal | None:
        """Whose token it is; None when it is unknown, malformed or revoked."""
        parts = token.split("_", 2) if len(token) <= 200 else []
        if len(parts) != 3 or parts[0] != "palate" or not token.isascii():
            return None
        row = self._key.typed(key=parts[1])
        if row is None:
            return None
        key, name, scopes, secret_hash, last_used, server = row
        if not hmac.compare_digest(_sha256(parts[2]), secret_hash):
            return None
        now = server or datetime.now(UTC)
        if last_used is None or now - last_used > TOUCH_EVERY:
            self._touch(key, now)
        return _holder(key, name, scopes, secret_hash)

    def key_principal(self, key: str) -> Principal | None:
        """Who holds the key `key` now; None when it is unknown or revoked. For sessions that began with a key."""
        row = self._key.typed(key=key)
        return None if row is None else _holder(*row[:4])

    def revoke_key(self, key: str) -> None:
        """End a key, for good. Raises UnknownIdError when there is none; revoking twice changes nothing."""
        with writing(self._engine) as db:
            if db.scalar(sa.select(keys.c.id).where(keys.c.id == key)) is None:
                raise UnknownIdError(f"There is no key {key!r}.", hint="`palate keys list` shows them.")
            db.execute(keys.update().where(keys.c.id == key, keys.c.revoked.is_(None)).values(revoked=clock(db)))
            db.execute(codes.delete().where(codes.c.key_id == key))

    def list_keys(self) -> list[Key]:
        """All keys, the oldest first, also the revoked ones."""
        with reading(self._engine) as db:
            rows = db.execute(keys.select().order_by(keys.c.created, keys.c.id)).all()
        return [Key(r.id, r.name, tuple(r.scopes), r.created, r.last_used, r.revoked) for r in rows]

    # One-time codes

    def create_code(self, key: str, *, seconds: float = 900) -> str:
        """A code that signs in as the key `key`, once, within `seconds`. For a link that may end up in a log."""
        code = secrets.token_urlsafe(24)
        with writing(self._engine) as db:
            if db.scalar(sa.select(keys.c.id).where(keys.c.id == key, keys.c.revoked.is_(None))) is None:
                raise UnknownIdError(f"There is no key {key!r} in force.")
            now = clock(db)
            db.execute(codes.delete().where(codes.c.expires < now))
            expires = now + timedelta(seconds=seconds)
            db.execute(codes.insert().values(code_hash=_sha256(code), key_id=key, expires=expires))
        return code

    def redeem_code(self, code: str) -> Principal | None:
        """Who the code stands for, and the code is used up; None when it is unknown, used or expired."""
        with writing(self._engine) as db:
            hashed = _sha256(code[:200])
            row = db.execute(
                sa.select(keys, codes.c.expires)
                .join(codes, codes.c.key_id == keys.c.id)
                .where(codes.c.code_hash == hashed, keys.c.revoked.is_(None))
            ).one_or_none()
            if row is None or row.expires < clock(db):
                return None
            # Of two at once only one deletes the row.
            if db.execute(codes.delete().where(codes.c.code_hash == hashed)).rowcount != 1:
                return None
        return _holder(row.id, row.name, row.scopes, row.secret_hash)

    # People

    def add_person(self, name: str, password: str, scopes: Iterable[str]) -> None:
        """A person who signs in. Raises ConflictError when the name is taken, ParameterError for a short password."""
        row = {"name": _name(name), "password_hash": hash_password(password), "scopes": _scopes(scopes)}
        try:
            with writing(self._engine) as db:
                db.execute(people.insert().values(created=clock(db), **row))
        except ConflictError:
            raise ConflictError(f"There is already a person named {name!r}.", where="name") from None

    def set_password(self, name: str, password: str) -> None:
        """Change a password; all sessions of that person end. Raises UnknownIdError when there is no such person."""
        self._change_person(name, password_hash=hash_password(password))

    def disable_person(self, name: str) -> None:
        """Let a person in no longer; what they did stays theirs."""
        with reading(self._engine) as db:
            now = clock(db)
        self._change_person(name, disabled=now)

    def list_people(self) -> list[Person]:
        """All people, by name."""
        with reading(self._engine) as db:
            rows = db.execute(people.select().order_by(people.c.name)).all()
        return [Person(r.name, tuple(r.scopes), r.created, r.disabled) for r in rows]

    def person_principal(self, name: str) -> Principal | None:
        """The person `name` as they are now; None when unknown or disabled. For sessions that go on."""
        row = self._known.typed(who=name)
        return None if row is None else _person(*row)

    def check_password(self, name: str, password: str, *, address: str = "") -> Principal | None:
        """The person, if the password is theirs; None otherwise.

        After 5 failures for one name from one address each further try has to wait, 2 s, 4 s, ... up to 15
        minutes; then ThrottledError is raised without a look at the password. An hour later it is forgotten.
        """
        subject = _subject(name, address)
        self._charge(subject)
        row = self._known.typed(who=name)
        if row is None:
            self._nobody = self._nobody or hash_password(secrets.token_hex(16))
        kept = self._nobody if row is None else row[2]
        if not verify_password(password, kept or "") or row is None:
            return None
        with writing(self._engine) as db:
            db.execute(failures.delete().where(failures.c.subject == subject))
        return _person(*row)

    # Inside

    def _change_person(self, name: str, **values: object) -> None:
        with writing(self._engine) as db:
            if db.execute(people.update().where(people.c.name == name).values(**values)).rowcount == 0:
                raise UnknownIdError(f"There is no person named {name!r}.")

    def _touch(self, key: str, now: datetime) -> None:
        try:
            with writing(self._engine) as db:
                db.execute(keys.update().where(keys.c.id == key).values(last_used=now))
        except StoreError:
            # Knowing when a key was last used is not worth failing a request for.
            return

    def _charge(self, subject: str) -> None:
        """Count a try as failed before it is looked at, so that a hundred at once don't slip through."""
        with writing(self._engine) as db:
            now = clock(db)
            db.execute(failures.delete().where(failures.c.last < now - FORGET_AFTER))
            insert = postgresql.insert if db.dialect.name == "postgresql" else sqlite.insert
            empty = insert(failures).values(subject=subject, failures=0, last=now)
            db.execute(empty.on_conflict_do_nothing())
            this = failures.c.subject == subject
            row = db.execute(failures.select().where(this).with_for_update()).one()
            wait = (row.last + _pause(row.failures) - now).total_seconds()
            if wait > 0:
                raise ThrottledError("Too many failed tries.", hint="Wait a little.", retry_after=math.ceil(wait))
            db.execute(failures.update().where(this).values(failures=row.failures + 1, last=now))


def _pause(failed: int) -> timedelta:
    """How long after `failed` tries in a row the next one has to wait."""
    if failed < FREE_TRIES:
        return timedelta(0)
    return min(timedelta(seconds=2 ** min(failed - FREE_TRIES + 1, 20)), LONGEST_WAIT)


def _holder(key: str, name: str, scopes: Iterable[str], secret_hash: str) -> Principal:
    return Principal("key", key, name, frozenset(scopes), secret_hash[:16])


def _person(name: str, scopes: Iterable[str], password_hash: str) -> Principal:
    return Principal("person", name, name, frozenset(scopes), _sha256(password_hash)[:16])


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _subject(name: str, address: str) -> str:
    return _sha256(f"{name}\n{address}")


def _name(name: str) -> str:
    if not 1 <= len(name) <= 200 or not name.isprintable() or name != name.strip():
        raise ParameterError("needs 1 to 200 printable characters, none of them blank at the ends.", where="name")
    return name


def _scopes(scopes: Iterable[str]) -> list[str]:
    wanted = sorted(set(scopes))
    if not wanted:
        raise ParameterError("at least one is needed.", where="scopes")
    for scope in wanted:
        if not _SCOPE.fullmatch(scope):
            raise ParameterError(f"{scope!r} is not a scope.", where="scopes", hint="Use words such as events:write.")
    return wanted
