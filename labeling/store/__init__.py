"""What the labeling service keeps: projects, their tasks, the slots people hold, and what they answered."""

MIGRATIONS = "labeling.store:migrations"
"""Where `palate.store.migrate` finds the history of these tables."""
