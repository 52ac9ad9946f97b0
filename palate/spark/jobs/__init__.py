"""The jobs themselves, one module each: a typed function that does the work, and the click command that calls it."""
