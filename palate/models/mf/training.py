"""Passing over the data with an engine: which one, for how long, and what is kept when it goes wrong."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from palate.engines import chosen_engine
from palate.errors import ParameterError
from palate.models.mf.batches import Batches, Rows
from palate.models.mf.definition import Definition, Parameters

log = logging.getLogger("palate.models.mf")

_WORSE = 10.0
"""Training has diverged when the loss is so many times that of knowing the mean and nothing else."""

_LEAST = 0.01
"""Where the mean tells nearly all, any start is many times worse."""


class Engine(Protocol):
    """Holds the parameters and moves them."""

    device: str

    def run(self, rows: Rows, rate: float) -> float:
        """One step for each batch of the rows; the sum over the rows of the losses before the steps."""
        ...

    def parameters(self) -> Parameters:
        """A copy of the parameters as they are now."""
        ...


@dataclass(frozen=True)
class Trained:
    """The parameters, the engine and its device, the mean loss of each epoch, and which epoch diverged, if one did."""

    parameters: Parameters
    engine: str
    device: str
    losses: tuple[float, ...]
    diverged: int | None


def make_engine(name: str, definition: Definition, start: Parameters) -> Engine:
    """An engine that holds the parameters. Raises MissingDependencyError naming the extra if it is not installed."""
    if name == "torch":
        from palate.models.mf.torch_engine import TorchEngine

        return TorchEngine(definition, start)
    from palate.models.mf.mxnet_engine import MXNetEngine

    return MXNetEngine(definition, start)


def train(definition: Definition, engine: str, start: Parameters, batches: Batches) -> Trained:
    """All epochs, or those until training diverges; the parameters after the epoch of the lowest loss.

    Raises ParameterError if the very first epoch diverges.
    """
    name = chosen_engine("mf", engine)
    running = make_engine(name, definition, start)
    log.info("mf: %s epochs of %s rows with %s on %s", definition.epochs, len(batches), name, running.device)
    losses: list[float] = []
    best, kept, diverged, ignorant = math.inf, None, None, 0.0
    for epoch in range(definition.epochs):
        total = 0.0
        for rows in batches.epoch():
            total += running.run(rows, definition.rate(epoch))
            ignorant += definition.ignorance(rows.targets) / len(batches) if epoch == 0 else 0.0
        loss = total / len(batches)
        losses.append(loss)
        found = running.parameters() if loss < best else None
        sound = found is None or all(np.isfinite(values).all() for values in found.values())
        if not math.isfinite(loss) or loss > _WORSE * max(ignorant, _LEAST) or not sound:
            diverged = epoch
            break
        if found is not None:
            best, kept = loss, found
    if kept is None:
        raise ParameterError(
            f"training diverged in its first epoch (loss {losses[0]:.3g}).",
            where="mf.learning_rate",
            hint=f"Take a smaller one than {definition.learning_rate:g}.",
        )
    if diverged is not None:
        log.warning(
            "mf: training diverged in epoch %s (loss %.3g); kept is the state of the lowest loss, %.4g. "
            "Take a smaller learning_rate.",
            diverged + 1,
            losses[-1],
            best,
        )
    return Trained(kept, name, running.device, tuple(losses), diverged)
