"""Sub-commands of `palate label`, a module each."""
