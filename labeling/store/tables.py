"""The tables of the labeling store.

A task has `overlap` slots, made with the task: places that people take. A person holds a slot on lease, and an
annotation fills it. What must never happen is kept from happening by constraints, not by counting:

- more answers than the overlap: an annotation belongs to a slot, and no slot carries two;
- the same task twice to one person: (task, person) is unique among slots and among annotations.
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    literal_column,
)

from palate.store.types import NAMES, Instant, partial_index

TITLE_LENGTH = 200
PERSON_LENGTH = 220
EXTERNAL_ID_LENGTH = 300

FREE, LEASED, ANSWERED = "free", "leased", "answered"


# SQLite counts rows up by itself only in a column declared exactly INTEGER.
Key = BigInteger().with_variant(Integer, "sqlite")

metadata = MetaData(naming_convention=NAMES)

projects = Table(
    "projects",
    metadata,
    Column("id", Key, primary_key=True),
    Column("title", String(TITLE_LENGTH), nullable=False, unique=True),
    Column("kind", String(20), nullable=False),
    Column("labels", JSON, nullable=False),
    Column("instructions", Text, nullable=False),
    Column("overlap", Integer, nullable=False),
    Column("tasks", Integer, nullable=False, server_default="0"),
    Column("created", Instant, nullable=False),
    Column("config", Text, nullable=False, server_default=""),
    Column("paused", Boolean, nullable=False, server_default=false()),
    Column("deadline", Instant),
    Column("ordering", String(20), nullable=False, server_default="import"),
    Column("seed", Integer, nullable=False, server_default="0"),
    Column("gold_rate", Float, nullable=False, server_default="0"),
    Column("golds", Integer, nullable=False, server_default="0"),
    Column("review", String(10), nullable=False, server_default="none"),
    Column("closed", Boolean, nullable=False, server_default=false()),
    Column("consensus", String(20), nullable=False, server_default="none"),
    Column("run", BigInteger),
    Column("budgeted", Boolean, nullable=False, server_default=false()),
    CheckConstraint("overlap >= 1", name="ck_projects_overlap"),
)
"""`config` is the labeling interface, Label Studio's XML; `kind` and `labels` are read from it. `tasks` is how many the
project has, gold ones included, `golds` how many of them are gold, both counted up by the import that adds them. Its
row is what an import locks. `consensus` is the method by which answers are kept consolidated, `run` the latest run of
automatic labeling: only its labels count. `budgeted`: there is a row of it in `budgets`."""

budgets = Table(
    "budgets",
    metadata,
    Column("project_id", ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("answers", BigInteger),
    Column("price", BigInteger, nullable=False, server_default="0"),
    Column("money", BigInteger),
    Column("seconds", Float),
    Column("taken", BigInteger, nullable=False, server_default="0"),
    Column("answered", BigInteger, nullable=False, server_default="0"),
    Column("worked", Float, nullable=False, server_default="0"),
)
"""Bounds of a project's work, and what triggers count: slots that are not free, answers, seconds that these took."""

tasks = Table(
    "tasks",
    metadata,
    Column("id", Key, primary_key=True),
    Column("project_id", ForeignKey("projects.id", ondelete="CASCADE"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("external_id", String(EXTERNAL_ID_LENGTH), nullable=False),
    Column("data", JSON, nullable=False),
    Column("created", Instant, nullable=False),
    Column("priority", Integer, nullable=False, server_default="0"),
    Column("rank", Float, nullable=False, server_default="0"),
    Column("gold", JSON(none_as_null=True)),
    UniqueConstraint("project_id", "external_id"),
    UniqueConstraint("project_id", "position"),
)
"""The lowest `rank` is handed out first. `gold` is the right answer, of tasks whose answer is known."""
partial_index("ix_tasks_gold", tasks.c.project_id, tasks.c.position, where="gold IS NOT NULL")

slots = Table(
    "slots",
    metadata,
    Column("id", Key, primary_key=True),
    Column("project_id", ForeignKey("projects.id", ondelete="CASCADE"), nullable=False),
    Column("task_id", ForeignKey("tasks.id", ondelete="CASCADE"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("position", Integer, nullable=False),
    Column("state", String(10), nullable=False, server_default=FREE),
    Column("person", String(PERSON_LENGTH)),
    Column("leased", Instant),
    Column("expires", Instant),
    Column("rank", Float, nullable=False, server_default="0"),
    Column("gold", Boolean, nullable=False, server_default=false()),
    Column("withheld", Boolean, nullable=False, server_default=false()),
    UniqueConstraint("task_id", "number"),
    UniqueConstraint("task_id", "person"),
    CheckConstraint(
        "(state = 'free' AND person IS NULL AND expires IS NULL)"
        " OR (state = 'leased' AND person IS NOT NULL AND expires IS NOT NULL)"
        " OR (state = 'answered' AND person IS NOT NULL AND expires IS NULL)",
        name="ck_slots_state",
    ),
)
"""A slot is `withheld` while a run of automatic labeling has not asked people for its task; all of a task's are, or
none."""
# The queue looks only at slots still open; a partial index keeps that look short however many are answered. SQLite
# takes one only where the query says the same in the same words, and there a Boolean is compared with a number.
partial_index(
    "ix_slots_open",
    slots.c.project_id,
    slots.c.number,
    slots.c.rank,
    slots.c.position,
    where="state <> 'answered' AND withheld = 0",
    postgresql="state <> 'answered' AND NOT withheld",
)
partial_index(
    "ix_slots_open_tasks",
    slots.c.project_id,
    slots.c.position,
    where="state <> 'answered' AND withheld = 0",
    postgresql="state <> 'answered' AND NOT withheld",
)
partial_index("ix_slots_withheld", slots.c.project_id, slots.c.position, where="withheld = 1", postgresql="withheld")
partial_index("ix_slots_held", slots.c.project_id, slots.c.person, where="state = 'leased'")
# Written out in the statement: for a parameter SQLite would plan anew at each call, PostgreSQL not use the index.
is_open = slots.c.state != literal_column(f"'{ANSWERED}'")
is_free = slots.c.state == literal_column(f"'{FREE}'")
is_held = slots.c.state == literal_column(f"'{LEASED}'")
"""Where a slot stands, in the words of the partial indexes."""

answers = Table(
    "annotations",
    metadata,
    Column("id", Key, primary_key=True),
    Column("project_id", ForeignKey("projects.id", ondelete="CASCADE"), nullable=False),
    Column("task_id", ForeignKey("tasks.id", ondelete="CASCADE"), nullable=False),
    Column("slot_id", ForeignKey("slots.id", ondelete="CASCADE"), nullable=False, unique=True),
    Column("person", String(PERSON_LENGTH), nullable=False),
    Column("value", JSON, nullable=False),
    Column("seconds", Float),
    Column("created", Instant, nullable=False),
    Column("updated", Instant, nullable=False),
    Column("verdict", String(10)),
    Column("reviewer", String(PERSON_LENGTH)),
    Column("review_expires", Instant),
    Column("note", Text),
    Column("original", JSON(none_as_null=True)),
    Column("returns", Integer, nullable=False, server_default="0"),
    Column("suspect", Integer),
    Column("changed", Instant),
    UniqueConstraint("task_id", "person"),
    Index("ix_annotations_turns", "project_id", "person", "created"),
)
"""`value` is the list of regions that Label Studio calls `result`; `original` what it was before a reviewer corrected
it. A `verdict` of none waits for a review; a reviewer without a verdict has it in hands. `suspect` is the place of an
answer among those that a model doubts, from 1 for the most doubtful. `changed`: when it was replaced or judged last;
unlike `updated` it tells of verdicts, too."""
is_returned = answers.c.verdict == literal_column("'returned'")
"""An answer that a reviewer sent back, in the words of the index."""
partial_index("ix_annotations_changed", answers.c.project_id, answers.c.changed, where="changed IS NOT NULL")
partial_index("ix_annotations_updated", answers.c.project_id, answers.c.updated, where="changed IS NOT NULL")
partial_index(
    "ix_annotations_pending", answers.c.project_id, answers.c.id, where="verdict IS NULL OR verdict = 'returned'"
)
partial_index(
    "ix_annotations_returned", answers.c.project_id, answers.c.person, answers.c.id, where="verdict = 'returned'"
)
partial_index("ix_annotations_reviewing", answers.c.project_id, answers.c.reviewer, where="review_expires IS NOT NULL")
partial_index(
    "ix_annotations_suspect", answers.c.project_id, answers.c.suspect, where="suspect IS NOT NULL AND verdict IS NULL"
)

skips = Table(
    "skips",
    metadata,
    Column("task_id", ForeignKey("tasks.id", ondelete="CASCADE"), primary_key=True),
    Column("person", String(PERSON_LENGTH), primary_key=True),
    Column("project_id", ForeignKey("projects.id", ondelete="CASCADE"), nullable=False),
    Column("created", Instant, nullable=False),
    Column("reason", Text),
    Index("ix_skips_turns", "project_id", "person", "created"),
)

comments = Table(
    "comments",
    metadata,
    Column("id", Key, primary_key=True),
    Column("project_id", ForeignKey("projects.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("task_id", ForeignKey("tasks.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("person", String(PERSON_LENGTH), nullable=False),
    Column("text", Text, nullable=False),
    Column("flag", Boolean, nullable=False),
    Column("resolved", Boolean, nullable=False),
    Column("created", Instant, nullable=False),
)

drafts = Table(
    "drafts",
    metadata,
    Column("task_id", ForeignKey("tasks.id", ondelete="CASCADE"), primary_key=True),
    Column("person", String(PERSON_LENGTH), primary_key=True),
    Column("project_id", ForeignKey("projects.id", ondelete="CASCADE"), nullable=False),
    Column("value", JSON, nullable=False),
    Column("updated", Instant, nullable=False),
)

predictions = Table(
    "predictions",
    metadata,
    Column("task_id", ForeignKey("tasks.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("project_id", ForeignKey("projects.id", ondelete="CASCADE"), nullable=False),
    Column("value", JSON, nullable=False),
    Column("score", Float, nullable=False),
    Column("model", String(200), nullable=False),
    Column("created", Instant, nullable=False),
)

members = Table(
    "members",
    metadata,
    Column("project_id", ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("person", String(PERSON_LENGTH), primary_key=True),
    Column("role", String(20), nullable=False),
)

consolidations = Table(
    "consolidations",
    metadata,
    Column("project_id", ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("method", String(20), nullable=False),
    Column("basis", String(100), nullable=False),
    Column("computed", Instant, nullable=False),
    Column("report", JSON, nullable=False),
)
"""What people's answers say together, as it was computed last; `basis` tells which answers those were."""

consensus = Table(
    "consensus",
    metadata,
    Column("task_id", ForeignKey("tasks.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("project_id", ForeignKey("projects.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("value", JSON, nullable=False),
    Column("confidence", Float),
    Column("posterior", JSON, nullable=False),
    Column("answers", Integer, nullable=False),
    Column("decided", Boolean, nullable=False),
)
"""`value` has the form of an answer, `posterior` is by control and label. `decided`: by a reviewer."""

skills = Table(
    "skills",
    metadata,
    Column("project_id", ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("control", String(200), primary_key=True),
    Column("person", String(PERSON_LENGTH), primary_key=True),
    Column("skill", Float, nullable=False),
    Column("answers", Integer, nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("id", Key, primary_key=True),
    Column("project_id", ForeignKey("projects.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("state", String(10), nullable=False),
    Column("settings", JSON, nullable=False),
    Column("config", Text, nullable=False),
    Column("step", Integer, nullable=False, server_default="0"),
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("job", BigInteger),
    Column("phase", String(10), nullable=False),
    Column("round", Integer, nullable=False, server_default="0"),
    Column("positions", Integer, nullable=False),
    Column("arrays", LargeBinary),
    Column("audits", JSON, nullable=False),
    Column("error", Text),
    Column("person", String(PERSON_LENGTH), nullable=False),
    Column("started", Instant, nullable=False),
    Column("ended", Instant),
)
"""A run of automatic labeling. `step` counts the decisions taken, each by one job; `arrays` is the loop's memory after
the last. `round` says whose labels count. `positions`: tasks imported from there on are not part of it. `config` is the
interface it began with."""

rounds = Table(
    "rounds",
    metadata,
    Column("run_id", ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("round", Integer, primary_key=True, autoincrement=False),
    Column("model", String(200), nullable=False),
    Column("labeled", Integer, nullable=False),
    Column("answers", Integer, nullable=False),
    Column("automatic", Integer, nullable=False),
    Column("threshold", Float),
    Column("accuracy", Float),
    Column("bound", Float),
    Column("pool_accuracy", Float, nullable=False),
    Column("asked", Integer, nullable=False),
    Column("finished", Instant, nullable=False),
)

automatic = Table(
    "automatic",
    metadata,
    Column("run_id", ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("round", Integer, primary_key=True, autoincrement=False),
    Column("task_id", ForeignKey("tasks.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("label", Text, nullable=False),
    Column("confidence", Float, nullable=False),
    Column("withdrawn", Boolean, nullable=False, server_default=false()),
    Index("ix_automatic_task", "task_id"),
)
"""What a model labeled. Model and threshold are those of the round; rows of another round than the run's do not count:
they are being written by a job, or will be cleared away by one."""

files = Table(
    "files",
    metadata,
    Column("id", Key, primary_key=True),
    Column("project_id", ForeignKey("projects.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("name", String(100), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("whole", Boolean, nullable=False),
    Column("created", Instant, nullable=False),
)

file_parts = Table(
    "file_parts",
    metadata,
    Column("file_id", ForeignKey("files.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("data", LargeBinary, nullable=False),
)
