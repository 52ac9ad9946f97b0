from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from palate.errors import StoreError
from palate.store import metadata, migrate, reading, writing
from palate.store.migrate import differences


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A house with two migrations, importable; its location."""
    name = f"house_{tmp_path.name.replace('-', '_')}"
    versions = tmp_path / name / "migrations" / "versions"
    versions.mkdir(parents=True)
    for folder in (versions, versions.parent, versions.parent.parent):
        (folder / "__init__.py").touch()
    for number, before, body in (
        ("0001", None, 'op.create_table("rooms", sa.Column("id", sa.Integer, primary_key=True))'),
        ("0002", "0001", 'op.add_column("rooms", sa.Column("name", sa.String(10)))'),
    ):
        text = f"""
            import sqlalchemy as sa
            from alembic import op
            revision, down_revision = {number!r}, {before!r}
            def upgrade():
                {body}
        """
        (versions / f"v{number}_step.py").write_text(textwrap.dedent(text))
    monkeypatch.syspath_prepend(tmp_path)
    return f"{name}:migrations"


def test_tables_and_migrations_agree(engine: Engine) -> None:
    assert differences(engine, metadata) == []


def test_the_comparison_can_fail(engine: Engine) -> None:
    with writing(engine) as db:
        db.execute(sa.text("ALTER TABLE palate_jobs DROP COLUMN message"))
    assert "add_column" in str(differences(engine, metadata))


def test_a_house_brings_its_own_tables_and_version(fresh: Engine, house: str) -> None:
    migrate(fresh, "house", house)
    migrate(fresh, "house", house)
    with reading(fresh) as db:
        names = set(sa.inspect(db).get_table_names())
        assert {"rooms", "palate_jobs", "alembic_version_house", "alembic_version_palate"} <= names
        assert db.scalar(sa.text("SELECT version_num FROM alembic_version_house")) == "0002"
        assert [column["name"] for column in sa.inspect(db).get_columns("rooms")] == ["id", "name"]


def test_alembic_is_imported_only_when_there_is_something_to_do(address: str) -> None:
    start = f"import sys; from palate.store import *; migrate(open_engine({address!r}), 'house')"
    told = [
        subprocess.run(
            [sys.executable, "-c", f"{start}; print('alembic' in sys.modules)"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for _ in range(2)
    ]
    assert told == ["True", "False"]


def test_a_newer_database_is_refused_and_left_alone(engine: Engine) -> None:
    with writing(engine) as db:
        db.execute(sa.text("UPDATE alembic_version_palate SET version_num = '9999'"))
    with pytest.raises(StoreError, match=r"written by a newer version.*9999"):
        migrate(engine, "labeling")


def test_a_step_that_fails_leaves_nothing_behind(fresh: Engine, house: str, tmp_path: Path) -> None:
    step = next(tmp_path.glob("*/migrations/versions/v0002_step.py"))
    step.write_text(step.read_text() + "    raise RuntimeError('half-way')\n")
    with pytest.raises(RuntimeError, match="half-way"):
        migrate(fresh, "house", house)
    with reading(fresh) as db:
        assert "rooms" not in sa.inspect(db).get_table_names()


def test_workers_that_start_at_once_both_find_it_done(address: str) -> None:
    code = f"from palate.store import *; e = open_engine({address!r}); migrate(e, 'house'); Jobs(e).enqueue('k')"
    workers = [subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True) for _ in range(3)]
    for worker in workers:
        _, errors = worker.communicate(timeout=200)
        assert worker.returncode == 0, errors


def test_migrations_that_are_not_there(fresh: Engine) -> None:
    with pytest.raises(StoreError, match="cannot be read"):
        migrate(fresh, "house", "palate.store:nowhere")
