"""The history of the shared tables."""
