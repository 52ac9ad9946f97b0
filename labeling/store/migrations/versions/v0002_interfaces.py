"""Projects get a labeling interface, answers become Label Studio's regions. All projects so far are single choices."""

from xml.sax.saxutils import quoteattr

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

PROJECTS = sa.table("projects", sa.column("id"), sa.column("labels", sa.JSON), sa.column("config"))
REGION = "'from_name', 'label', 'to_name', 'text', 'type', 'choices', 'value', "
RESULT = {
    "sqlite": f"json_array(json_object({REGION} json(value)))",
    "postgresql": f"json_build_array(json_build_object({REGION} value))",
}


def upgrade() -> None:
    op.add_column("projects", sa.Column("config", sa.Text, nullable=False, server_default=""))
    connection = op.get_bind()
    for project, labels in connection.execute(sa.select(PROJECTS.c.id, PROJECTS.c.labels)).all():
        changed = sa.update(PROJECTS).where(PROJECTS.c.id == project).values(config=_config(labels))
        connection.execute(changed)
    op.execute(f"UPDATE annotations SET value = {RESULT[connection.dialect.name]}")  # noqa: S608 -- constants


def _config(labels: list[str]) -> str:
    lines = "".join(f"    <Choice value={quoteattr(label)}/>\n" for label in labels)
    return (
        '<View>\n  <Header value="$title"/>\n  <Text name="text" value="$text"/>\n'
        '  <Choices name="label" toName="text" choice="single" required="true">\n'
        f"{lines}  </Choices>\n</View>\n"
    )
