"""`@compiled`: a loop over arrays as machine code, made by numba at the first call and kept on disk.

Modules that use it are imported only by functions that are about to compute, so that importing Palate costs nothing.
The machine code is kept beside the module or in the user's cache folder (`NUMBA_CACHE_DIR` says another); where
neither can be written, each process compiles again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compiled without the interpreter and its lock, so that threads run it side by side.

    Sums may be reordered (for the sake of vector instructions), but in the same order at every call; a division by
    zero gives an infinity as numpy's does.
    """
    options: dict[str, Any] = {
        "nogil": True,
        "error_model": "numpy",
        "fastmath": {"reassoc", "contract", "arcp", "nsz"},
    }
    try:
        made = njit(cache=True, **options)(function)
    except RuntimeError:  # numba found no folder to keep it in
        made = njit(**options)(function)
    return cast(F, made)
