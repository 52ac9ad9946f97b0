"""The optional engines, torch and MXNet, imported when a model needs them and not before.

MXNet 1.9.1 is older than NumPy 2 and looks up names that NumPy has dropped since. They are lent to it while it is
imported, and taken away again. Importing it also lowers torch's thread count, which is put back.
"""

from __future__ import annotations

import importlib
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np

from palate.errors import MissingDependencyError

ENGINES = ("torch", "mxnet")
_LOCK = threading.Lock()  # NumPy is one per process: two imports must not lend and take away at once


def import_torch() -> ModuleType:
    """`torch`. Raises MissingDependencyError saying how to get it."""
    try:
        return importlib.import_module("torch")
    except ImportError as error:
        raise MissingDependencyError(
            f"torch cannot be imported ({error}).", hint="pip install 'palate[torch]'"
        ) from error


def import_mxnet() -> ModuleType:
    """`mxnet`, version 1.9. Raises MissingDependencyError saying how to get it."""
    if "mxnet" in sys.modules:
        return sys.modules["mxnet"]
    with _LOCK, _dropped_names_lent(), _torch_threads_kept(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its syntax and its use of pkg_resources are of 2021
        try:
            return importlib.import_module("mxnet")
        except (ImportError, OSError, AttributeError) as error:
            for name in [name for name in sys.modules if name.split(".")[0] == "mxnet"]:
                del sys.modules[name]
            raise MissingDependencyError(
                f"mxnet cannot be imported ({error}).",
                hint="pip install 'palate[mxnet]' && pip install --no-deps mxnet==1.9.1; "
                "`palate doctor` names missing system libraries.",
            ) from error


def chosen_engine(kind: str, name: str) -> str:
    """`name`, or for "auto" the first engine that can be imported. Raises MissingDependencyError if there is none.

    kind: of the model that asks.
    """
    if name != "auto":
        return name
    for engine, ask in zip(ENGINES, (import_torch, import_mxnet), strict=True):
        try:
            ask()
        except MissingDependencyError:
            continue
        return engine
    raise MissingDependencyError(
        f"neither torch nor mxnet can be imported, and {kind} needs one of them.",
        where=f"{kind}.engine",
        hint="pip install 'palate[torch]', or 'palate[mxnet]' and mxnet==1.9.1 with --no-deps.",
    )


@contextmanager
def _dropped_names_lent() -> Iterator[None]:
    """NumPy with the names that it has dropped since MXNet 1.9 was written."""
    stand_ins: dict[str, Any] = {
        "PZERO": 0.0,
        "NZERO": -0.0,
        "NINF": -np.inf,
        "PINF": np.inf,
        "NAN": np.nan,
        "NaN": np.nan,
        "Inf": np.inf,
        "alltrue": np.all,
        "sometrue": np.any,
        "product": np.prod,
        "round_": np.round,
        "msort": np.sort,
        "in1d": np.isin,
        "trapz": getattr(np, "trapezoid", None),
        "bool": np.bool_,
        # Financial functions, gone to a package of their own; MXNet only re-exports them.
        **dict.fromkeys(("mirr", "npv", "pmt", "ppmt", "pv", "rate"), _gone),
    }
    lent = [name for name in stand_ins if name not in np.__dict__]
    for name in lent:
        setattr(np, name, stand_ins[name])
    try:
        yield
    finally:
        for name in lent:
            delattr(np, name)


def _gone(*_: Any, **__: Any) -> None:
    raise NotImplementedError("NumPy no longer has its financial functions; see the package numpy-financial.")


@contextmanager
def _torch_threads_kept() -> Iterator[None]:
    torch = sys.modules.get("torch")
    threads = torch.get_num_threads() if torch is not None else 0
    try:
        yield
    finally:
        if torch is not None:
            torch.set_num_threads(threads)
