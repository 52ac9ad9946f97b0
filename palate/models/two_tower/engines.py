"""The two towers in torch and in MXNet: the same arithmetic on the same batches."""

from __future__ import annotations

from typing import Any

from palate.engines import import_mxnet, import_torch
from palate.models.epochs import Engine, GluonParameters, Parameters, TorchParameters
from palate.models.two_tower.definition import SIDES, Batch, Definition

_FAR = 1e4
"""What the score of an item loses that must not count as a wrong answer."""


class TorchTowers(TorchParameters):
    def __init__(self, definition: Definition, start: Parameters) -> None:
        super().__init__(import_torch(), start)
        self.definition = definition

    def step(self, batch: Batch, rate: float) -> Any:
        return self.move(self._loss(batch), rate) * len(batch.users)

    def _loss(self, batch: Batch) -> Any:
        torch, held, d = self.torch, self.held, self.definition
        linear = torch.nn.functional.linear

        def tower(side: str, inputs: Any) -> Any:
            hidden = torch.relu(linear(inputs, held[f"{side}_hidden"], held[f"{side}_bias"]))
            return linear(inputs, held[f"{side}_linear"]) + linear(hidden, held[f"{side}_output"])

        items, users = tower("item", self.tensor(batch.items)), tower("user", self.tensor(batch.users))
        scores = users @ items[:, : d.factors].T + items[:, d.factors] - self.tensor(batch.log_share)
        scores = scores - _FAR * self.tensor(batch.clash)
        losses = torch.logsumexp(scores, dim=1) - torch.diagonal(scores)
        lengths = sum(torch.square(held[f"{side}_{each}"]).sum() for side in SIDES for each in ("hidden", "output"))
        return losses.mean() + d.regularization * lengths


class GluonTowers(GluonParameters):
    def __init__(self, definition: Definition, start: Parameters) -> None:
        super().__init__(import_mxnet(), start)
        self.definition = definition

    def step(self, batch: Batch, rate: float) -> Any:
        return self.move(lambda held: self._loss(held, batch), rate) * len(batch.users)

    def _loss(self, held: dict[str, Any], batch: Batch) -> Any:
        nd, d = self.mxnet.nd, self.definition

        def linear(inputs: Any, weight: Any, bias: Any = None) -> Any:
            return nd.FullyConnected(inputs, weight, bias, num_hidden=weight.shape[0], no_bias=bias is None)

        def tower(side: str, inputs: Any) -> Any:
            hidden = nd.relu(linear(inputs, held[f"{side}_hidden"], held[f"{side}_bias"]))
            return linear(inputs, held[f"{side}_linear"]) + linear(hidden, held[f"{side}_output"])

        items, users = tower("item", self.array(batch.items)), tower("user", self.array(batch.users))
        vectors, extra = items.slice_axis(1, 0, d.factors), items.slice_axis(1, d.factors, d.factors + 1)
        scores = nd.dot(users, vectors, transpose_b=True)
        scores = nd.broadcast_add(scores, extra.T - self.array(batch.log_share).expand_dims(0))
        scores = scores - _FAR * self.array(batch.clash)
        losses = -nd.diag(nd.log_softmax(scores, axis=1))
        lengths = sum(nd.square(held[f"{side}_{each}"]).sum() for side in SIDES for each in ("hidden", "output"))
        return losses.mean() + d.regularization * lengths


def make_engine(name: str, definition: Definition, start: Parameters) -> Engine:
    """An engine that holds the parameters. Raises MissingDependencyError naming the extra if it is not installed."""
    return TorchTowers(definition, start) if name == "torch" else GluonTowers(definition, start)
