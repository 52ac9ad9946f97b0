"""The table of online feature values, step by step."""
