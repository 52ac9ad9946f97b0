"""`python -m benchmarks.fm_engines`: the engines of `deepfm` and `fm-ranker` beside bare loops of the same frameworks.

Rows of a user, an item, its genres and its year; a tenth of what a row tells is hidden at random, as both models do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.data import Size, generate
from benchmarks.engines import Contest, Epoch, by_names, command
from palate.engines import import_mxnet, import_torch
from palate.features.fields import FieldEncoder, Rows
from palate.models.deep_fm.definition import Batches, Definition
from palate.models.deep_fm.engines import make_engine

FACTORS, HIDDEN, BATCH, RATE, PENALTY, FORGET = 16, 64, 1024, 0.005, 3e-4, 0.1
KINDS = {"user": "category", "item": "category", "genres": "list", "year": "number"}
NETWORKS = ("fm", "deepfm")


@dataclass(frozen=True)
class Table:
    """width: how many features there are. slots: the field of each slot."""

    rows: Rows
    labels: npt.NDArray[np.float32]
    width: int
    slots: tuple[int, ...]

    @property
    def n_fields(self) -> int:
        return max(self.slots) + 1

    def of_field(self, field: int) -> slice:
        return slice(self.slots.index(field), len(self.slots) - self.slots[::-1].index(field))


def make_table(size: Size) -> Table:
    """What users touched, and as many rows of items drawn at random, half of the interactions each."""
    data, rng = generate(size), np.random.default_rng(0)
    kept = len(data) // 2
    users = np.tile(data.user_codes[:kept], 2)
    items = np.concatenate([data.item_codes[:kept], rng.integers(0, data.n_items, kept)])
    genres = [rng.choice(20, count, replace=False).tolist() for count in rng.integers(1, 5, data.n_items)]
    years = rng.integers(1930, 2020, data.n_items).astype(float)
    columns = {"user": users, "item": items, "genres": [genres[item] for item in items], "year": years[items]}
    encoder = FieldEncoder.fit(columns, KINDS)
    labels = np.repeat(np.array([1, 0], np.float32), kept)
    return Table(encoder.encode(columns), labels, encoder.width, tuple(encoder.slots))


def ours(engine: str, network: str, table: Table) -> Epoch:
    rng = np.random.default_rng(0)
    definition = Definition(
        network, "classification", table.width, table.slots, FACTORS, HIDDEN, 2, PENALTY, 0.0, PENALTY
    )
    batches = Batches(table.rows, table.labels, BATCH, FORGET, rng)
    running = make_engine(engine, definition, definition.start(rng))

    def epoch() -> float:
        loss = running.total([running.step(batch, RATE) for batch in batches.epoch()]) / len(table.labels)
        running.parameters()
        return loss

    return epoch


def bare_torch(network: str, table: Table) -> Epoch:
    torch = import_torch()
    nn = torch.nn

    class Net(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.linear, self.factors = nn.Embedding(table.width, 1), nn.Embedding(table.width, FACTORS)
            self.offset = nn.Parameter(torch.zeros(1))
            nn.init.zeros_(self.linear.weight)
            nn.init.normal_(self.factors.weight, std=0.1 / FACTORS**0.5)
            if network == "deepfm":
                wide = table.n_fields * FACTORS
                self.deep = nn.Sequential(
                    nn.Linear(wide, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(),
                    nn.Linear(HIDDEN, 1, bias=False),
                )  # fmt: skip

        def forward(self, codes: Any, values: Any) -> Any:
            values = values.unsqueeze(2)
            weights, factors = self.linear(codes), self.factors(codes)
            products = factors * values
            pairs = products.sum(1).square() - products.square().sum(1)
            scores = self.offset + (weights * values).sum((1, 2)) + 0.5 * pairs.sum(1)
            used = values != 0
            penalty = (factors.square() * used).sum() + (weights.square() * used).sum()
            if network == "deepfm":
                fields = [products[:, table.of_field(field)].sum(1) for field in range(table.n_fields)]
                scores = scores + self.deep(torch.cat(fields, 1)).squeeze(1)
                lengths = sum(each.weight.square().sum() for each in self.deep if isinstance(each, nn.Linear))
                penalty = penalty + len(codes) * lengths
            return scores, penalty

    net = Net()
    optimizer = torch.optim.Adam(net.parameters(), lr=RATE)
    codes, values, labels = map(torch.from_numpy, (table.rows.codes, table.rows.values, table.labels))

    def epoch() -> float:
        total = torch.zeros(())
        for rows in torch.randperm(len(labels)).split(BATCH):
            held = values[rows]
            held = held * (torch.rand(held.shape) >= FORGET)
            scores, penalty = net(codes[rows], held)
            losses = nn.functional.binary_cross_entropy_with_logits(scores, labels[rows], reduction="sum")
            loss = losses + PENALTY * penalty
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.detach()
        return float(total) / len(labels)

    return epoch


def bare_mxnet(network: str, table: Table) -> Epoch:
    mx = import_mxnet()
    gluon, nd = mx.gluon, mx.nd

    class Net(gluon.nn.Block):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.linear = gluon.nn.Embedding(table.width, 1, weight_initializer=mx.init.Zero())
            self.factors = gluon.nn.Embedding(
                table.width, FACTORS, weight_initializer=mx.init.Normal(0.1 / FACTORS**0.5)
            )
            self.offset = gluon.Parameter("offset", shape=(1,), init=mx.init.Zero())
            self.params.update({"offset": self.offset})
            if network == "deepfm":
                wide = table.n_fields * FACTORS
                self.deep = gluon.nn.Sequential()
                self.deep.add(
                    gluon.nn.Dense(HIDDEN, activation="relu", in_units=wide),
                    gluon.nn.Dense(HIDDEN, activation="relu", in_units=HIDDEN),
                    gluon.nn.Dense(1, use_bias=False, in_units=HIDDEN),
                )

        def forward(self, codes: Any, values: Any) -> Any:
            values = values.expand_dims(2)
            weights, factors = self.linear(codes), self.factors(codes)
            products = factors * values
            pairs = products.sum(1).square() - products.square().sum(1)
            scores = self.offset.data() + (weights * values).sum(axis=(1, 2)) + 0.5 * pairs.sum(1)
            used = values != 0
            penalty = (factors.square() * used).sum() + (weights.square() * used).sum()
            if network == "deepfm":
                fields = [products[:, table.of_field(field)].sum(1) for field in range(table.n_fields)]
                scores = scores + self.deep(nd.concat(*fields, dim=1)).squeeze(axis=1)
                lengths = sum(each.weight.data().square().sum() for each in self.deep)
                penalty = penalty + len(codes) * lengths
            return scores, penalty

    net = Net()
    net.initialize()
    trainer = gluon.Trainer(net.collect_params(), "adam", {"learning_rate": RATE}, kvstore=None)
    cross_entropy = gluon.loss.SigmoidBinaryCrossEntropyLoss()
    arrays = (table.rows.codes, table.rows.values, table.labels)
    codes, values, labels = (mx.nd.from_numpy(array, zero_copy=False) for array in arrays)

    def epoch() -> float:
        losses = []
        order = nd.array(np.random.permutation(len(labels)), dtype="int32")
        for start in range(0, len(labels), BATCH):
            rows = order[start : start + BATCH]
            held = values.take(rows)
            held = held * (nd.random.uniform(shape=held.shape) >= FORGET)
            wanted = labels.take(rows)
            with mx.autograd.record():
                scores, penalty = net(codes.take(rows), held)
                loss = cross_entropy(scores, wanted).sum() + PENALTY * penalty
            loss.backward()
            trainer.step(1)
            losses.append(loss)
        return float(nd.concat(*losses, dim=0).sum().asscalar()) / len(labels)

    return epoch


def contests(size: Size) -> tuple[str, list[Contest]]:
    table = make_table(size)
    makers = {"torch": lambda network: bare_torch(network, table), "mxnet": lambda network: bare_mxnet(network, table)}
    pairs = by_names(makers, lambda engine, network: ours(engine, network, table), NETWORKS)
    return f"{table.width:,} features in {len(table.slots)} slots, {FACTORS} factors, batches of {BATCH}", pairs


main = command("Print the seconds of an epoch of `deepfm`, bare and ours, of each engine and network.", contests)

if __name__ == "__main__":
    main()
