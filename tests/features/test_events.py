"""Features from events: as of a moment, the same numbers offline and online, on both databases."""

from __future__ import annotations

import json
import random
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from sqlalchemy.engine import Engine

from palate.cli.features import features as command
from palate.errors import InputError, PalateError, ParameterError, SchemaError
from palate.features.events import DAY, EventFeature, EventFeatures
from palate.features.online import OnlineFeatures, metadata
from palate.store import open_engine, writing
from palate.store.migrate import differences

DEFINED = """
[[feature]]
name = "views_7d"
of = "user"
kinds = ["view"]
days = 7

[[feature]]
name = "spent"
of = "user"
aggregate = "sum"
kinds = ["purchase"]

[[feature]]
name = "mean_weight"
of = "item"
aggregate = "mean"
days = 30

[[feature]]
name = "idle"
of = "item"
aggregate = "days_since"
"""


@pytest.fixture
def definition(tmp_path: Path) -> EventFeatures:
    (tmp_path / "features.toml").write_text(DEFINED)
    return EventFeatures.read(tmp_path / "features.toml")


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """A database without features, once of each kind."""
    sqlite = f"sqlite:///{tmp_path / 'online.db'}"
    made = open_engine(sqlite if request.param == "sqlite" else request.getfixturevalue("postgresql"))
    with writing(made) as db:
        for table in ("feature_values", "alembic_version_features"):
            db.exec_driver_sql(f"DROP TABLE IF EXISTS {table}")
    yield made
    made.dispose()


def events(count: int = 400, seed: int = 0) -> pa.Table:
    """Of 9 users and 7 items, over 60 days, some at the very same moment, in no order."""
    drawn = random.Random(seed)
    rows = [
        {
            "user": f"u{drawn.randrange(9)}",
            "item": f"i{drawn.randrange(7)}",
            "kind": drawn.choice(["view", "purchase"]),
            "weight": drawn.choice([None, 0.1, 0.7, 1 / 3, 19.99]),
            "timestamp": float(drawn.randrange(60) * DAY + drawn.choice([0, 0, 3600])),
        }
        for _ in range(count)
    ]
    return pa.Table.from_pylist(rows)


def by_hand(feature: EventFeature, held: list[dict[str, Any]], row: dict[str, Any]) -> float | None:
    oldest = row["timestamp"] - feature.days * DAY if feature.days else float("-inf")
    mine = [
        each
        for each in held
        if each[feature.of] == row[feature.of]
        and oldest <= each["timestamp"] < row["timestamp"]
        and (not feature.kinds or each["kind"] in feature.kinds)
    ]
    weights: list[float] = [1.0 if each["weight"] is None else each["weight"] for each in mine]
    if feature.aggregate == "count":
        return len(mine)
    if feature.aggregate == "sum":
        return sum(weights)
    if not mine:
        return None
    if feature.aggregate == "mean":
        return statistics.mean(weights)
    return float(row["timestamp"] - max(each["timestamp"] for each in mine)) / DAY


def test_a_row_gets_what_was_known_before_it(definition: EventFeatures) -> None:
    known = events()
    rows = known.select(["user", "item", "timestamp"]).slice(0, 150)
    rows = pa.concat_tables([rows, pa.table({"user": ["new", "u1"], "item": ["i1", "new"], "timestamp": [1e9, -5.0]})])
    found, held = definition.as_of(known, rows).to_pylist(), known.to_pylist()
    assert len(found) == 152
    for feature in definition.features:
        for row in found:
            assert row[feature.name] == pytest.approx(by_hand(feature, held, row), abs=1e-12), (feature, row)


def test_an_event_does_not_see_itself_nor_what_happens_at_its_moment() -> None:
    counted = EventFeatures((EventFeature("n", "user"),))
    known = pa.table({"user": [1, 1, 1], "item": ["a", "b", "c"], "timestamp": [5, 5, 9]})
    assert counted.as_of(known, known)["n"].to_pylist() == [0, 0, 2]


def test_a_history_gives_the_same_bits_whatever_stands_beside_it(definition: EventFeatures) -> None:
    known = events(2000, seed=3)
    whole = {row["user"]: row for row in definition.latest("user", known, 50 * DAY).to_pylist()}
    shuffled = known.take(pa.array(random.Random(1).sample(range(len(known)), len(known))))
    assert len(whole) == 9
    for user, row in whole.items():
        own = shuffled.filter(pa.compute.equal(shuffled["user"], user))
        assert definition.latest("user", own, 50 * DAY).to_pylist() == [row]


def test_online_values_are_those_of_the_offline_table(definition: EventFeatures, engine: Engine) -> None:
    known, at = events(), 40 * DAY + 1
    online = OnlineFeatures(engine)
    assert differences(engine, metadata) == []
    assert online.refresh(definition, known, at) == 9 + 7
    rows = pa.table(
        {"user": [f"u{n}" for n in range(9)], "item": [f"i{n % 7}" for n in range(9)], "timestamp": [at] * 9}
    )
    for row in definition.as_of(known, rows).to_pylist():
        for entity in ("user", "item"):
            name = row[entity]
            told = online.get(entity, [name])[name]
            assert told.features == {feature.name: row[feature.name] for feature in definition.of(entity)}
            assert told.as_of == at
    later = known.filter(pa.compute.equal(known["user"], "u1"))
    online.refresh(definition, later, 70 * DAY)
    assert set(online.get("user", ["u1", "u2", "nobody"])) == {"u1"}, "what is not known any more is not told"
    online.write("user", definition.latest("user", known, 80 * DAY), 80 * DAY)
    assert {known.as_of for known in online.get("user", ["u1", "u2"]).values()} == {80 * DAY}
    with pytest.raises(ParameterError, match="user, item"):
        online.get("shop", ["1"])


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("", "feature"),
        ("feature = 3", "feature"),
        ("[[feature]]\nname = 'a'", "feature 0"),
        ("[[feature]]\nname = 'a'\nof = 'user'\nwindow = 3", "feature 0"),
        ("[[feature]]\nname = 'a'\nof = 'shop'", "a.of"),
        ("[[feature]]\nname = 'a b'\nof = 'user'", "name"),
        ("[[feature]]\nname = 'user'\nof = 'user'", "name"),
        ("[[feature]]\nname = 'a'\nof = 'user'\naggregate = 'median'", "a.aggregate"),
        ("[[feature]]\nname = 'a'\nof = 'user'\nkinds = 'view'", "a.kinds"),
        ("[[feature]]\nname = 'a'\nof = 'user'\ndays = 0", "a.days"),
        ("[[feature]]\nname = 'a'\nof = 'user'\n[[feature]]\nname = 'a'\nof = 'item'", "a"),
        ("more = 1\n[[feature]]\nname = 'a'\nof = 'user'", "more"),
    ],
)
def test_a_wrong_definition_is_told_with_its_place(tmp_path: Path, text: str, where: str) -> None:
    (tmp_path / "features.toml").write_text(text)
    with pytest.raises(ParameterError) as error:
        EventFeatures.read(tmp_path / "features.toml")
    assert error.value.where == f"{tmp_path / 'features.toml'}: {where}"


def test_files_and_tables_that_cannot_be_read(tmp_path: Path, definition: EventFeatures) -> None:
    (tmp_path / "broken.toml").write_text("[[feature")
    for name in ("broken.toml", "missing.toml"):
        with pytest.raises(InputError, match="TOML"):
            EventFeatures.read(tmp_path / name)
    known = events(20)
    wrong: list[tuple[pa.Table, pa.Table]] = [
        (known.drop_columns(["timestamp"]), known),
        (known.drop_columns(["kind"]), known.select(["user", "item", "timestamp"])),
        (known, known.select(["user", "timestamp"])),
        (known, pa.table({"user": ["a"], "item": ["b"], "timestamp": ["now"]})),
        (known, pa.table({"user": ["a"], "item": ["b"], "timestamp": [None]})),
        (known, pa.table({"user": ["a"], "item": ["b"], "timestamp": [float("nan")]})),
        (known, pa.table({"user": [None], "item": ["b"], "timestamp": [1.0]})),
        (known, pa.table({"user": ["a"], "item": ["b"], "timestamp": [1.0], "idle": [1.0]})),
    ]
    for each, rows in wrong:
        with pytest.raises(SchemaError):
            definition.as_of(each, rows)
    with pytest.raises(ParameterError):
        definition.latest("user", known, float("nan"))
    nothing = definition.as_of(known.slice(0, 0), known.select(["user", "item", "timestamp"]))
    assert set(nothing["views_7d"].to_pylist()) == {0.0}
    assert set(nothing["idle"].to_pylist()) == {None}


def test_the_command_joins_refreshes_and_shows(tmp_path: Path, definition: EventFeatures) -> None:
    known = events()
    pq.write_table(known, tmp_path / "events.parquet")
    pq.write_table(known.select(["user", "item", "timestamp"]), tmp_path / "rows.parquet")
    database = f"sqlite:///{tmp_path / 'features.db'}"
    both = ["--features", str(tmp_path / "features.toml"), "--events", str(tmp_path / "events.parquet")]

    def run(*arguments: str) -> str:
        found = CliRunner().invoke(command, list(arguments), catch_exceptions=False)
        assert found.exit_code == 0, found.output
        return found.output

    assert "400 rows with 4 features" in run(
        "join", *both, "--rows", str(tmp_path / "rows.parquet"), "-o", str(tmp_path / "out.parquet")
    )
    assert pq.read_table(tmp_path / "out.parquet").equals(
        definition.as_of(known, pq.read_table(tmp_path / "rows.parquet"))
    )
    assert "16 users and items" in run("refresh", *both, "--database", database, "--at", "3456000")
    told = json.loads(run("show", "--database", database, "user", "u3"))
    row = next(row for row in definition.latest("user", known, 3456000).to_pylist() if row["user"] == "u3")
    assert told == {"user": "u3", "as_of": 3456000.0, "features": {name: row[name] for name in ("views_7d", "spent")}}
    (tmp_path / "rows.parquet").write_bytes(b"no parquet")
    wrong = ["join", *both, "--rows", str(tmp_path / "rows.parquet"), "-o", str(tmp_path / "out.parquet")]
    for arguments in (
        wrong,
        [*wrong[:-3], str(tmp_path / "missing"), *wrong[-2:]],
        ["show", "--database", database, "item", "?"],
    ):
        failed = CliRunner().invoke(command, arguments)
        assert isinstance(failed.exception, PalateError), arguments
    open_engine(database).dispose()
