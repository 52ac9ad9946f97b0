"""`palate features`: features of users and items from events, offline by a point-in-time join, online in a database."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click

from palate.errors import InputError, ParameterError, UnknownIdError
from palate.features.events import ENTITIES, EventFeatures
from palate.files import written_whole

_FILE = click.Path(path_type=Path)
_definition = click.option("--features", "definition", required=True, type=_FILE, help="The definition, in TOML.")
_events = click.option("--events", required=True, type=_FILE, help="Parquet: user, item, timestamp, kind, weight.")
_database = click.option(
    "--database",
    metavar="URL",
    help="sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME; else that of the services.",
)


@click.group()
def features() -> None:
    """Features of users and items, from what was done: one definition for training and for serving."""


@features.command()
@_definition
@_events
@click.option("--rows", required=True, type=_FILE, help="Parquet: timestamp, and user, item or both.")
@click.option("--output", "-o", required=True, type=_FILE, help="Where the rows go, with a column for each feature.")
def join(definition: Path, events: Path, rows: Path, output: Path) -> None:
    """Give each row what was known of its user and item at its time: a point-in-time join, for training."""
    import pyarrow.parquet as pq

    made = EventFeatures.read(definition).as_of(_table(events), _table(rows))
    with written_whole(output) as file:
        pq.write_table(made, file, compression="zstd")
    click.echo(f"{output}: {len(made):,} rows with {len(EventFeatures.read(definition).features)} features.")


@features.command()
@_definition
@_events
@_database
@click.option("--at", type=float, help="As of when, in seconds since 1970; now unless told.")
def refresh(definition: Path, events: Path, database: str | None, at: float | None) -> None:
    """Compute what is known of all users and items now, and put it where services look it up."""
    online, told = _online(database), time.time() if at is None else at
    count = online.refresh(EventFeatures.read(definition), _table(events), told)
    click.echo(f"{count:,} users and items written, as of {told:.0f}.")


@features.command()
@_database
@click.argument("entity", type=click.Choice(ENTITIES))
@click.argument("name")
def show(database: str | None, entity: str, name: str) -> None:
    """Print what is held of the user or item NAME, as JSON."""
    found = _online(database).get(entity, [name]).get(name)
    if found is None:
        raise UnknownIdError(f"nothing is held of the {entity} {name[:80]!r}.", where="name")
    click.echo(json.dumps({entity: name, "as_of": found.as_of, "features": found.features}))


def _online(database: str | None) -> Any:
    from palate.features.online import OnlineFeatures
    from palate.settings import Settings
    from palate.store import open_engine

    return OnlineFeatures(open_engine(database or Settings.read().database("features")))


def _table(path: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_table(path)
    except FileNotFoundError:
        raise InputError("there is no such file.", where=str(path)) from None
    except (OSError, pa.ArrowException, ValueError) as error:
        raise ParameterError(f"it cannot be read as Parquet: {str(error)[:200]}.", where=str(path)) from error
