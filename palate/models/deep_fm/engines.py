"""The machines in torch and in MXNet: the same arithmetic on the same batches."""

from __future__ import annotations

from typing import Any

from palate.engines import import_mxnet, import_torch
from palate.models.deep_fm.definition import Batch, Definition
from palate.models.epochs import Engine, GluonParameters, Parameters, TorchParameters


class TorchMachine(TorchParameters):
    def __init__(self, definition: Definition, start: Parameters) -> None:
        super().__init__(import_torch(), start)
        self.definition = definition
        self.gather = self.tensor(definition.gather)

    def step(self, batch: Batch, rate: float) -> Any:
        return self.move(self._loss(batch), rate)

    def _loss(self, batch: Batch) -> Any:
        torch, held, d = self.torch, self.held, self.definition
        functional = torch.nn.functional
        codes, labels = self.tensor(batch.codes), self.tensor(batch.labels)
        values = self.tensor(batch.values)[:, :, None]
        weights, factors = functional.embedding(codes, held["linear"]), functional.embedding(codes, held["factors"])
        products = factors * values
        pairs = torch.square(products.sum(dim=1)) - torch.square(products).sum(dim=1)
        scores = held["offset"] + (weights * values).sum(dim=(1, 2)) + 0.5 * pairs.sum(dim=1)
        if d.network == "deepfm":
            hidden = torch.matmul(self.gather, products).flatten(1)
            for layer in range(d.layers):
                weight, bias = held[f"hidden_{layer}_weight"], held[f"hidden_{layer}_bias"]
                hidden = torch.relu(functional.linear(hidden, weight, bias))
            scores = scores + functional.linear(hidden, held["output"])[:, 0]
        if d.task == "classification":
            losses = functional.binary_cross_entropy_with_logits(scores, labels, reduction="none")
        else:
            losses = torch.square(scores - labels)
        used = (values != 0).float()
        lengths = (torch.square(factors) * used).sum() + (torch.square(weights) * used).sum()
        loss = losses.sum() + d.regularization * lengths
        for name in d.deep_weights if d.deep_regularization else ():
            loss = loss + d.deep_regularization * len(labels) * torch.square(held[name]).sum()
        return loss


class GluonMachine(GluonParameters):
    def __init__(self, definition: Definition, start: Parameters) -> None:
        super().__init__(import_mxnet(), start)
        self.definition = definition
        self.gather = self.array(definition.gather)

    def step(self, batch: Batch, rate: float) -> Any:
        return self.move(lambda held: self._loss(held, batch), rate)

    def _loss(self, held: dict[str, Any], batch: Batch) -> Any:
        nd, d = self.mxnet.nd, self.definition
        codes, labels = self.array(batch.codes), self.array(batch.labels)
        values = self.array(batch.values).expand_dims(2)

        def lookup(name: str) -> Any:
            rows, width = held[name].shape
            return nd.Embedding(codes, held[name], input_dim=rows, output_dim=width)

        weights, factors = lookup("linear"), lookup("factors")
        products = nd.broadcast_mul(factors, values)
        pairs = nd.square(products.sum(axis=1)) - nd.square(products).sum(axis=1)
        scores = nd.broadcast_add((weights * values).sum(axis=(1, 2)) + 0.5 * pairs.sum(axis=1), held["offset"])
        if d.network == "deepfm":
            gather = nd.broadcast_to(self.gather.expand_dims(0), shape=(codes.shape[0], *self.gather.shape))
            hidden = nd.batch_dot(gather, products).reshape((codes.shape[0], -1))
            for layer in range(d.layers):
                weight, bias = held[f"hidden_{layer}_weight"], held[f"hidden_{layer}_bias"]
                hidden = nd.relu(nd.FullyConnected(hidden, weight, bias, num_hidden=d.hidden))
            scores = scores + nd.FullyConnected(hidden, held["output"], num_hidden=1, no_bias=True).squeeze(axis=1)
        if d.task == "classification":
            losses = nd.relu(scores) - scores * labels + nd.Activation(-nd.abs(scores), act_type="softrelu")
        else:
            losses = nd.square(scores - labels)
        used = values != 0
        lengths = nd.broadcast_mul(nd.square(factors), used).sum() + (nd.square(weights) * used).sum()
        loss = losses.sum() + d.regularization * lengths
        for name in d.deep_weights if d.deep_regularization else ():
            loss = loss + d.deep_regularization * len(labels) * nd.square(held[name]).sum()
        return loss


def make_engine(name: str, definition: Definition, start: Parameters) -> Engine:
    """An engine that holds the parameters. Raises MissingDependencyError naming the extra if it is not installed."""
    return TorchMachine(definition, start) if name == "torch" else GluonMachine(definition, start)
