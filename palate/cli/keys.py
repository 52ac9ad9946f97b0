"""`palate keys` and `palate people`: who may use the recommendation API and the labeling service."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime

import click

from palate.errors import ParameterError, UnknownIdError
from palate.settings import Settings
from palate.store import Accounts, migrate, open_engine

SCOPES = {
    "recommender": ("recommend", "catalogue", "events", "deployments", "metrics"),
    "labeling": ("label", "label:manage", "label:ml", "metrics"),
    "endpoints": ("invoke", "endpoints", "metrics"),
}
"""What may be allowed in each house, beside `*`."""
house_option = click.option(
    "--house", type=click.Choice(list(SCOPES)), default="recommender", show_default=True, help="Whose accounts."
)
scopes_option = click.option(
    "--scope", "scopes", multiple=True, required=True, metavar="SCOPE", help="What it may do; repeatable. * is all."
)


def accounts(house: str) -> Accounts:
    """The accounts of one house, its database made when there is none yet."""
    engine = open_engine(Settings.read().database(house))
    migrate(engine, house)
    return Accounts(engine)


def checked(house: str, scopes: Sequence[str]) -> None:
    """Raises ParameterError for a scope that the house does not know: nothing would ever be allowed by it."""
    for scope in scopes:
        if scope not in (*SCOPES[house], "*"):
            others = [other for other, known in SCOPES.items() if scope in known]
            meant = f" It is one of --house {others[0]}." if others else ""
            raise ParameterError(
                f"{house} has no scope {scope[:80]!r}.{meant}",
                where="--scope",
                hint=f"It has {', '.join(SCOPES[house])} and *.",
            )


@click.group()
def keys() -> None:
    """Make, list and revoke API keys."""


@keys.command()
@house_option
@scopes_option
@click.option(
    "--aws", is_flag=True, help="Print the id and secret that AWS's clients sign with, in place of the token."
)
@click.argument("name")
def create(house: str, scopes: tuple[str, ...], name: str, aws: bool) -> None:
    """Make a key called NAME and print its token, which cannot be shown again."""
    checked(house, scopes)
    key, token = accounts(house).create_key(name, scopes)
    if aws:
        click.echo(f"AWS_ACCESS_KEY_ID={key}\nAWS_SECRET_ACCESS_KEY={_aws_secret(house, key)}")
    else:
        click.echo(token)
    click.echo(
        f"Key {key} of {house}, for {', '.join(sorted(set(scopes)))}. Keep the token: only its hash is stored.",
        err=True,
    )


def _aws_secret(house: str, key: str) -> str:
    from palate.web.secret import secret_key  # the web's packages are not there in every installation
    from palate.web.sigv4 import secret_of

    found = accounts(house).key_principal(key)
    if found is None:
        raise UnknownIdError(f"There is no key {key!r} in force.")
    return secret_of(secret_key(Settings.read().home), key, found.stamp)


@keys.command("list")
@house_option
def list_keys(house: str) -> None:
    """Show all keys, without their secrets."""
    rows = [
        (key.id, key.name, " ".join(key.scopes), _day(key.created), _day(key.last_used), _day(key.revoked))
        for key in accounts(house).list_keys()
    ]
    _table(("id", "name", "scopes", "created", "last used", "revoked"), rows)


@keys.command()
@house_option
@click.argument("key")
def revoke(house: str, key: str) -> None:
    """End the key whose id is KEY; running services refuse it within a second."""
    accounts(house).revoke_key(key)
    click.echo(f"Key {key} is revoked.")


@click.group()
def people() -> None:
    """Add, list and disable people who sign in by name and password."""


@people.command()
@house_option
@scopes_option
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input instead of asking.")
@click.argument("name")
def add(house: str, scopes: tuple[str, ...], password_stdin: bool, name: str) -> None:
    """Add a person called NAME."""
    checked(house, scopes)
    accounts(house).add_person(name, _password(password_stdin), scopes)
    click.echo(f"{name} may sign in.")


@people.command()
@house_option
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input instead of asking.")
@click.argument("name")
def password(house: str, password_stdin: bool, name: str) -> None:
    """Change NAME's password and end their sessions."""
    accounts(house).set_password(name, _password(password_stdin))
    click.echo(f"The password of {name} is changed.")


@people.command()
@house_option
@click.argument("name")
def disable(house: str, name: str) -> None:
    """Let NAME in no longer."""
    accounts(house).disable_person(name)
    click.echo(f"{name} may no longer sign in.")


@people.command("list")
@house_option
def list_people(house: str) -> None:
    """Show everybody."""
    rows = [
        (person.name, " ".join(person.scopes), _day(person.created), _day(person.disabled))
        for person in accounts(house).list_people()
    ]
    _table(("name", "scopes", "created", "disabled"), rows)


def _password(from_stdin: bool) -> str:
    if not from_stdin:
        asked: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
        return asked
    line = sys.stdin.readline().rstrip("\r\n")
    if not line:
        raise ParameterError("Standard input holds no password.", where="--password-stdin")
    return line


def _day(moment: datetime | None) -> str:
    return moment.strftime("%Y-%m-%d %H:%M") if moment else "-"


def _table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    for row in (header, *rows):
        click.echo("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
