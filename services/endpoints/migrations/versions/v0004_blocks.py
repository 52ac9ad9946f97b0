"""What is counted of variants, also in blocks of half an hour."""

from services.variants.migrating import add_blocks

revision, down_revision = "0004", "0003"


def upgrade() -> None:
    add_blocks("endpoint_tallies", "endpoint_tally_blocks")
