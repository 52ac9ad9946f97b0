"""Palate: recommend items and label data on your own machines.

This package is the library that the three houses beside it share: `spark_jobs` (what spark-submit runs),
`services` (the recommendation API) and `labeling` (the labeling service). It imports none of them.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("palate")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0+unknown"

__all__ = ["__version__"]
