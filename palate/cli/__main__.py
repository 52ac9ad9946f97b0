"""`python -m palate.cli`: the `palate` command of this very interpreter."""

from palate.cli import main

main()
