"""Passing over data with an engine, torch or MXNet: for how long, and what is kept when it goes wrong."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from palate.errors import ParameterError

log = logging.getLogger("palate.models")

Parameters: TypeAlias = dict[str, npt.NDArray[np.float32]]

BETAS, EPSILON = (0.9, 0.999), 1e-8
"""Adam's, as published."""
_WORSE = 10.0
"""Training has diverged when the loss is so many times that of knowing nothing, or that of the first epoch."""


class Engine(Protocol):
    """Holds the parameters and moves them. name: "torch" or "mxnet"; device: where they are."""

    name: str
    device: str

    def step(self, batch: Any, rate: float) -> Any:
        """A step of Adam on a batch, or one on each part of it; the sum of the losses before, which `total` reads."""
        ...

    def total(self, losses: list[Any]) -> float:
        """The sum of what some steps gave. Engines that compute behind Python's back are waited for here."""
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


def train(
    kind: str,
    engine: Engine,
    epochs: int,
    learning_rate: float,
    batches: Callable[[], Iterable[Any]],
    rows: int,
    judge: Callable[[Parameters], float] | None = None,
    ignorance: float | None = None,
) -> Trained:
    """All epochs, or those until training diverges; the parameters after the best of them.

    batches: makes those of one epoch, which hold so many `rows`. judge: how bad parameters are, on data that is not
    trained on; the loss tells where it is not given. ignorance: the mean loss of knowing nothing; training has
    diverged at ten times this, or at ten times the loss of the first epoch where it is not given. The learning rate
    falls linearly, to a part in `epochs`.

    Raises ParameterError if the very first epoch diverges.
    """
    log.info("%s: %s epochs of %s rows with %s on %s", kind, epochs, rows, engine.name, engine.device)
    losses: list[float] = []
    best, kept, diverged = math.inf, None, None
    for epoch in range(epochs):
        rate = learning_rate * (1 - epoch / epochs)
        loss = engine.total([engine.step(batch, rate) for batch in batches()]) / max(rows, 1)
        losses.append(loss)
        found = engine.parameters() if judge is not None or loss < best else None
        sound = found is None or all(np.isfinite(values).all() for values in found.values())
        if not math.isfinite(loss) or not sound or loss > _WORSE * (losses[0] if ignorance is None else ignorance):
            diverged = epoch
            break
        bad = loss if judge is None or found is None else judge(found)
        if found is not None and bad < best:
            best, kept = bad, found
    if kept is None:
        raise ParameterError(
            f"training diverged in its first epoch (loss {losses[0]:.3g}).",
            where=f"{kind}.learning_rate",
            hint=f"Take a smaller one than {learning_rate:g}.",
        )
    if diverged is not None:
        log.warning(
            "%s: training diverged in epoch %s (loss %.3g); kept is the best state before. Take a smaller "
            "learning_rate than %g.",
            kind,
            diverged + 1,
            losses[-1],
            learning_rate,
        )
    return Trained(kept, engine.name, engine.device, tuple(losses), diverged)


class TorchParameters:
    """What engines in torch share: tensors on the device, moved by Adam."""

    name = "torch"

    def __init__(self, torch: Any, start: Parameters) -> None:
        self.torch = torch
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.held = {name: torch.tensor(held, device=self.device, requires_grad=True) for name, held in start.items()}
        self.optimizer = torch.optim.Adam(list(self.held.values()), betas=BETAS, eps=EPSILON)

    def tensor(self, values: npt.NDArray[Any]) -> Any:
        return self.torch.from_numpy(np.ascontiguousarray(values)).to(self.device)

    def move(self, loss: Any, rate: float) -> Any:
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def total(self, losses: list[Any]) -> float:
        return float(self.torch.stack(losses).double().sum()) if losses else 0.0

    def parameters(self) -> Parameters:
        return {name: value.detach().cpu().numpy().copy() for name, value in self.held.items()}


class GluonParameters:
    """What engines in MXNet share: Gluon's parameters, moved by its Trainer with Adam."""

    name = "mxnet"

    def __init__(self, mxnet: Any, start: Parameters) -> None:
        self.mxnet = mxnet
        self.context = mxnet.gpu() if mxnet.context.num_gpus() else mxnet.cpu()
        self.device = str(self.context)
        self.held: dict[str, Any] = {}
        for name, values in start.items():
            parameter = mxnet.gluon.Parameter(name, shape=values.shape)
            parameter.initialize(init=mxnet.init.Zero(), ctx=self.context)
            parameter.set_data(mxnet.ndarray.ndarray.array(values, ctx=self.context))
            self.held[name] = parameter
        adam = {"beta1": BETAS[0], "beta2": BETAS[1], "epsilon": EPSILON}
        self.trainer = mxnet.gluon.Trainer(list(self.held.values()), "adam", adam, kvstore=None)

    def array(self, values: npt.NDArray[Any]) -> Any:
        # `nd.array` asks first whether they are of a class that SciPy has deprecated.
        return self.mxnet.ndarray.ndarray.array(values, ctx=self.context, dtype=values.dtype)

    def move(self, loss: Callable[[dict[str, Any]], Any], rate: float) -> Any:
        self.trainer.set_learning_rate(rate)
        with self.mxnet.autograd.record():
            found = loss({name: parameter.data() for name, parameter in self.held.items()})
        found.backward()
        self.trainer.step(1)
        return found

    def total(self, losses: list[Any]) -> float:
        return float(sum(float(loss.asscalar()) for loss in losses))

    def parameters(self) -> Parameters:
        return {name: parameter.data().asnumpy() for name, parameter in self.held.items()}
