"""`python -m benchmarks.mf_engines`: the engines of `mf` beside bare loops of the same frameworks."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.data import Size, generate
from benchmarks.engines import Contest, Epoch, by_names, command
from palate.dataset import Interactions
from palate.engines import import_mxnet, import_torch
from palate.models.mf.batches import Batches
from palate.models.mf.definition import Definition
from palate.models.mf.training import make_engine

NEGATIVES, FACTORS, BATCH, RATE, PENALTY = 4, 64, 4096, 0.005, 1e-4


def ours(engine: str, network: str, data: Interactions) -> Epoch:
    definition = Definition(network, "negatives", FACTORS, 2, NEGATIVES, PENALTY, RATE, BATCH, 1, -np.log(NEGATIVES))
    rng = np.random.default_rng(0)
    known: npt.NDArray[np.int32] = np.arange(data.n_items, dtype=np.int32)
    batches = Batches(data.user_codes, data.item_codes, None, known, NEGATIVES, BATCH, rng)
    running = make_engine(engine, definition, definition.start(data.n_users, data.n_items, rng))

    def epoch() -> float:
        loss = running.total([running.step(rows, RATE) for rows in batches.epoch()]) / len(batches)
        running.parameters()
        return loss

    return epoch


def bare_torch(network: str, data: Interactions) -> Epoch:
    torch = import_torch()
    nn = torch.nn

    class Net(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            sides = {"user": data.n_users, "item": data.n_items}
            widths = {"factors": FACTORS, "bias": 1} | ({"inputs": FACTORS} if network == "neural" else {})
            for side, n in sides.items():
                for name, width in widths.items():
                    table = nn.Embedding(n, width, sparse=True)
                    nn.init.normal_(table.weight, std=0.0 if name == "bias" else 0.1 / FACTORS**0.5)
                    setattr(self, f"{side}_{name}", table)
            if network == "neural":
                wide = 2 * FACTORS
                self.hidden = nn.Sequential(
                    nn.Linear(wide, wide // 2), nn.ReLU(), nn.Linear(wide // 2, wide // 4), nn.ReLU()
                )
                self.output = nn.Linear(FACTORS + wide // 4, 1, bias=False)

        def forward(self, users: Any, items: Any) -> Any:
            p, q, b, c = (
                self.user_factors(users),
                self.item_factors(items),
                self.user_bias(users),
                self.item_bias(items),
            )
            scores = b + c.squeeze(2)
            squares = p.square().sum() + b.square().sum() + (q.square().sum() + c.square().sum()) / items.shape[1]
            if network == "linear":
                return scores + (p[:, None] * q).sum(2), squares
            x, y = self.user_inputs(users), self.item_inputs(items)
            squares = squares + x.square().sum() + y.square().sum() / items.shape[1]
            hidden = self.hidden(torch.cat([x[:, None].expand_as(y), y], dim=2))
            return scores + self.output(torch.cat([p[:, None] * q, hidden], dim=2)).squeeze(2), squares

    net = Net()
    tables = [module.weight for module in net.modules() if isinstance(module, nn.Embedding)]
    others = [value for name, value in net.named_parameters() if name.startswith(("hidden", "output"))]
    optimizers = [torch.optim.SparseAdam(tables, lr=RATE)] + ([torch.optim.Adam(others, lr=RATE)] if others else [])
    users, items = (torch.from_numpy(codes).long() for codes in (data.user_codes, data.item_codes))
    offset = -float(np.log(NEGATIVES))

    def epoch() -> float:
        total = 0.0
        for rows in torch.randperm(len(users)).split(BATCH):
            drawn = torch.randint(data.n_items, (len(rows), NEGATIVES))
            candidates = torch.cat([items[rows, None], drawn], dim=1)
            targets = torch.zeros(candidates.shape)
            targets[:, 0] = 1
            scores, squares = net(users[rows], candidates)
            losses = nn.functional.binary_cross_entropy_with_logits(scores + offset, targets, reduction="sum")
            loss = losses + PENALTY * squares
            for optimizer in optimizers:
                optimizer.zero_grad()
            loss.backward()
            for optimizer in optimizers:
                optimizer.step()
            total += loss.item()
        return total / len(users)

    return epoch


def bare_mxnet(network: str, data: Interactions) -> Epoch:
    mx = import_mxnet()
    gluon, nd = mx.gluon, mx.nd

    class Net(gluon.nn.Block):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            sides = {"user": data.n_users, "item": data.n_items}
            widths = {"factors": FACTORS, "bias": 1} | ({"inputs": FACTORS} if network == "neural" else {})
            for side, n in sides.items():
                for name, width in widths.items():
                    start = mx.init.Zero() if name == "bias" else mx.init.Normal(0.1 / FACTORS**0.5)
                    table = gluon.nn.Embedding(n, width, sparse_grad=True, weight_initializer=start)
                    setattr(self, f"{side}_{name}", table)
            if network == "neural":
                self.first = gluon.nn.Dense(FACTORS, activation="relu", flatten=False, in_units=2 * FACTORS)
                self.second = gluon.nn.Dense(FACTORS // 2, activation="relu", flatten=False, in_units=FACTORS)
                self.output = gluon.nn.Dense(1, use_bias=False, flatten=False, in_units=FACTORS + FACTORS // 2)

        def forward(self, users: Any, items: Any) -> Any:
            p, q, b, c = (
                self.user_factors(users),
                self.item_factors(items),
                self.user_bias(users),
                self.item_bias(items),
            )
            scores = nd.broadcast_add(b, c.squeeze(axis=2))
            squares = (p * p).sum() + (b * b).sum() + ((q * q).sum() + (c * c).sum()) / items.shape[1]
            products = nd.broadcast_mul(p.expand_dims(1), q)
            if network == "linear":
                return scores + products.sum(axis=2), squares
            x, y = self.user_inputs(users), self.item_inputs(items)
            squares = squares + (x * x).sum() + (y * y).sum() / items.shape[1]
            hidden = self.second(self.first(nd.concat(x.expand_dims(1).broadcast_like(y), y, dim=2)))
            return scores + self.output(nd.concat(products, hidden, dim=2)).squeeze(axis=2), squares

    net = Net()
    net.initialize()
    trainer = gluon.Trainer(net.collect_params(), "adam", {"learning_rate": RATE, "lazy_update": True}, kvstore=None)
    cross_entropy = gluon.loss.SigmoidBinaryCrossEntropyLoss(batch_axis=0)
    users, items = (nd.array(codes, dtype="int32") for codes in (data.user_codes, data.item_codes))
    offset = -float(np.log(NEGATIVES))

    def epoch() -> float:
        total = 0.0
        order = nd.array(np.random.permutation(len(users)), dtype="int32")
        for start in range(0, len(users), BATCH):
            rows = order[start : start + BATCH]
            drawn = nd.random.randint(0, data.n_items, (len(rows), NEGATIVES), dtype="int32")
            candidates = nd.concat(items.take(rows).expand_dims(1), drawn, dim=1)
            targets = nd.zeros(candidates.shape)
            targets[:, 0] = 1
            with mx.autograd.record():
                scores, squares = net(users.take(rows), candidates)
                losses = cross_entropy(scores + offset, targets).sum() * (1 + NEGATIVES)
                loss = losses + PENALTY * squares
            loss.backward()
            trainer.step(1)
            total += loss.asscalar()
        return total / len(users)

    return epoch


def contests(size: Size) -> tuple[str, list[Contest]]:
    data = generate(size)
    makers = {"torch": lambda network: bare_torch(network, data), "mxnet": lambda network: bare_mxnet(network, data)}
    pairs = by_names(makers, lambda engine, network: ours(engine, network, data), ("linear", "neural"))
    return f"{FACTORS} factors, {NEGATIVES} negatives, batches of {BATCH}", pairs


main = command("Print the seconds of an epoch of `mf`, bare and ours, of each engine and network.", contests)

if __name__ == "__main__":
    main()
