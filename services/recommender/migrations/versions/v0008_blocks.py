"""What is counted of variants, also in blocks of half an hour."""

from services.variants.migrating import add_blocks

revision, down_revision = "0008", "0007"


def upgrade() -> None:
    add_blocks("recommender_tallies", "recommender_tally_blocks")
