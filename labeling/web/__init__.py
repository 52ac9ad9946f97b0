"""The pages where people label."""
