"""Projects have a budget, whose use the database counts by triggers.

Whoever makes `slots` or `annotations` anew on SQLite, as it takes to change some columns there, makes these anew, too.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

_TAKEN = "UPDATE budgets SET taken = taken + 1 WHERE project_id = NEW.project_id"
_FREED = "UPDATE budgets SET taken = taken - 1 WHERE project_id = NEW.project_id"
_GONE = "UPDATE budgets SET taken = taken - 1 WHERE project_id = OLD.project_id"
_ANSWERED = (
    "UPDATE budgets SET answered = answered + 1, worked = worked + coalesce(NEW.seconds, 0)"
    " WHERE project_id = NEW.project_id"
)
_WITHDRAWN = (
    "UPDATE budgets SET answered = answered - 1, worked = worked - coalesce(OLD.seconds, 0)"
    " WHERE project_id = OLD.project_id"
)
# name, event, when, what
_TRIGGERS = (
    ("slots_taken", "UPDATE OF state ON slots", "OLD.state = 'free' AND NEW.state <> 'free'", _TAKEN),
    ("slots_freed", "UPDATE OF state ON slots", "OLD.state <> 'free' AND NEW.state = 'free'", _FREED),
    ("slots_made", "INSERT ON slots", "NEW.state <> 'free'", _TAKEN),
    ("slots_gone", "DELETE ON slots", "OLD.state <> 'free'", _GONE),
    ("annotations_made", "INSERT ON annotations", "TRUE", _ANSWERED),
    ("annotations_gone", "DELETE ON annotations", "TRUE", _WITHDRAWN),
)


def upgrade() -> None:
    op.add_column("projects", sa.Column("budgeted", sa.Boolean, nullable=False, server_default=sa.false()))
    key = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "budgets",
        sa.Column(
            "project_id",
            key,
            sa.ForeignKey("projects.id", ondelete="CASCADE", name="fk_budgets_project_id_projects"),
            autoincrement=False,
            nullable=False,
        ),
        sa.Column("answers", sa.BigInteger),
        sa.Column("price", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("money", sa.BigInteger),
        sa.Column("seconds", sa.Float),
        sa.Column("taken", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("answered", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("worked", sa.Float, nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("project_id", name="pk_budgets"),
    )
    make = _sqlite if op.get_bind().dialect.name == "sqlite" else _postgresql
    for each in _TRIGGERS:
        make(*each)


def _sqlite(name: str, event: str, when: str, change: str) -> None:
    op.execute(f"CREATE TRIGGER {name} AFTER {event} FOR EACH ROW WHEN {when} BEGIN {change}; END")


def _postgresql(name: str, event: str, when: str, change: str) -> None:
    op.execute(
        f"CREATE FUNCTION budget_{name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {change}; RETURN NULL; END $$"
    )
    op.execute(f"CREATE TRIGGER {name} AFTER {event} FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION budget_{name}()")
