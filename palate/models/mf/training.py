"""Training a matrix factorization: which engine, and what its loss is measured against."""

from __future__ import annotations

from palate.engines import chosen_engine
from palate.models import epochs
from palate.models.epochs import Engine, Parameters, Trained
from palate.models.mf.batches import Batches
from palate.models.mf.definition import Definition

_LEAST = 0.01
"""Where the mean tells nearly all, any start is many times worse."""


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
    running = make_engine(chosen_engine("mf", engine), definition, start)
    return epochs.train(
        "mf",
        running,
        definition.epochs,
        definition.learning_rate,
        batches.epoch,
        len(batches),
        ignorance=max(definition.ignorance(batches.ratings), _LEAST),
    )
