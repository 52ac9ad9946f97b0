"""`python -m benchmarks.tower_engines`: the engines of `two-tower` beside bare loops of the same frameworks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from benchmarks.data import Size, generate
from benchmarks.engines import Contest, Epoch, command
from palate.engines import import_mxnet, import_torch
from palate.models.two_tower.definition import Batches, Definition
from palate.models.two_tower.engines import make_engine

INPUTS, FACTORS, HIDDEN, BATCH, RATE, PENALTY, DROPOUT = 256, 64, 128, 512, 0.002, 1e-5, 0.3
GROUPS = 10
"""Of the users, one of which each is in."""
FAR = 1e4


@dataclass(frozen=True)
class World:
    """seen: `(n_users, n_items)`. inputs: of the items, `(n_items, INPUTS) float32`. about: the users' groups."""

    seen: sparse.csr_matrix
    inputs: npt.NDArray[np.float32]
    about: sparse.csr_matrix

    def prepared(self) -> tuple[npt.NDArray[Any], ...]:
        """What a bare loop keeps in memory: users and items of the interactions, the sums of the users' inputs, their
        numbers of items, the logarithm of the items' shares, the users' groups, and who touched what."""
        counts = np.diff(self.seen.indptr)
        shares = np.bincount(self.seen.indices, minlength=self.seen.shape[1]) / self.seen.nnz
        return (
            np.repeat(np.arange(len(counts)), counts), self.seen.indices.astype(np.int64), self.seen @ self.inputs,
            counts.astype(np.float32), np.log(shares + 1e-12).astype(np.float32), self.about.toarray(),
            self.seen.toarray().astype(np.uint8),
        )  # fmt: skip


def make_world(size: Size) -> World:
    data, rng = generate(size), np.random.default_rng(0)
    inputs = rng.standard_normal((data.n_items, INPUTS), dtype=np.float32)
    rows = np.arange(data.n_users)
    groups = rng.integers(0, GROUPS, data.n_users)
    about = sparse.csr_matrix((np.ones(len(rows), np.float32), (rows, groups)), shape=(len(rows), GROUPS))
    return World(data.matrix(binary=True), inputs, about)


def ours(engine: str, world: World) -> Epoch:
    rng = np.random.default_rng(0)
    definition = Definition(INPUTS, INPUTS + 2 + GROUPS, HIDDEN, FACTORS, PENALTY)
    batches = Batches(world.seen, world.inputs, world.about, BATCH, DROPOUT, rng)
    running = make_engine(engine, definition, definition.start(rng))

    def epoch() -> float:
        loss = running.total([running.step(batch, RATE) for batch in batches.epoch()]) / len(batches)
        running.parameters()
        return loss

    return epoch


def bare_torch(world: World) -> Epoch:
    torch = import_torch()
    nn, do = torch.nn, torch.nn.functional

    class Tower(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self, inputs: int, outputs: int) -> None:
            super().__init__()
            self.linear = nn.Linear(inputs, outputs, bias=False)
            self.hidden, self.output = nn.Linear(inputs, HIDDEN), nn.Linear(HIDDEN, outputs, bias=False)

        def forward(self, inputs: Any) -> Any:
            return self.linear(inputs) + self.output(torch.relu(self.hidden(inputs)))

    of_users, of_items = Tower(INPUTS + 2 + GROUPS, FACTORS), Tower(INPUTS, FACTORS + 1)
    towers = nn.ModuleList([of_users, of_items])
    optimizer = torch.optim.Adam(towers.parameters(), lr=RATE)
    users, items, sums, counts, shares, groups, touched = map(torch.from_numpy, world.prepared())
    inputs = torch.from_numpy(world.inputs)

    def epoch() -> float:
        total = torch.zeros(())
        for rows in torch.randperm(len(users)).split(BATCH):
            mine, theirs = users[rows], items[rows]
            content, rest = inputs[theirs], counts[mine, None] - 1
            history = do.dropout((sums[mine] - content) / rest.clamp(min=1), DROPOUT)
            u = of_users(torch.cat([history, (rest > 0).float(), rest.log1p(), groups[mine]], 1))
            v = of_items(do.dropout(content, DROPOUT))
            clash = touched[mine][:, theirs].bool().fill_diagonal_(False)
            scores = u @ v[:, :FACTORS].T + v[:, FACTORS] - shares[theirs]
            losses = do.cross_entropy(scores.masked_fill(clash, -FAR), torch.arange(len(rows)))
            lengths = sum(part.weight.square().sum() for each in towers for part in (each.hidden, each.output))
            loss = losses + PENALTY * lengths
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(rows)
        return float(total) / len(users)

    return epoch


def bare_mxnet(world: World) -> Epoch:
    mx = import_mxnet()
    gluon, nd = mx.gluon, mx.nd

    class Tower(gluon.nn.Block):  # type: ignore[misc, name-defined]
        def __init__(self, inputs: int, outputs: int) -> None:
            super().__init__()
            self.linear = gluon.nn.Dense(outputs, use_bias=False, in_units=inputs)
            self.hidden = gluon.nn.Dense(HIDDEN, activation="relu", in_units=inputs)
            self.output = gluon.nn.Dense(outputs, use_bias=False, in_units=HIDDEN)

        def forward(self, inputs: Any) -> Any:
            return self.linear(inputs) + self.output(self.hidden(inputs))

    of_users, of_items = Tower(INPUTS + 2 + GROUPS, FACTORS), Tower(INPUTS, FACTORS + 1)
    towers = gluon.nn.Sequential()
    towers.add(of_users, of_items)
    towers.initialize(mx.init.Xavier())
    trainer = gluon.Trainer(towers.collect_params(), "adam", {"learning_rate": RATE}, kvstore=None)
    cross_entropy = gluon.loss.SoftmaxCrossEntropyLoss()
    prepared = [nd.from_numpy(each, zero_copy=False) for each in world.prepared()]
    users, items, sums, counts, shares, groups, touched = prepared
    inputs = nd.from_numpy(world.inputs, zero_copy=False)

    def epoch() -> float:
        losses = []
        order = nd.array(np.random.permutation(len(users)), dtype="int32")
        for start in range(0, len(users), BATCH):
            rows = order[start : start + BATCH]
            mine, theirs = users.take(rows), items.take(rows)
            content, rest = inputs.take(theirs), counts.take(mine).expand_dims(1) - 1
            histories = (sums.take(mine) - content) / nd.maximum(rest, 1)
            clash = touched.take(mine).take(theirs, axis=1).astype("float32") * (1 - nd.eye(len(rows)))
            share = shares.take(theirs).expand_dims(0)
            with mx.autograd.record():
                known = (rest > 0, rest.log1p(), groups.take(mine))
                u = of_users(nd.concat(nd.Dropout(histories, DROPOUT), *known, dim=1))
                v = of_items(nd.Dropout(content, DROPOUT))
                scores = nd.dot(u, v[:, :FACTORS], transpose_b=True) + v[:, FACTORS].expand_dims(0) - share
                lengths = sum(
                    part.weight.data().square().sum() for each in towers for part in (each.hidden, each.output)
                )
                found = cross_entropy(scores - FAR * clash, nd.arange(len(rows))).mean() + PENALTY * lengths
            found.backward()
            trainer.step(1)
            losses.append(found * len(rows))
        return float(nd.concat(*losses, dim=0).sum().asscalar()) / len(users)

    return epoch


def contests(size: Size) -> tuple[str, list[Contest]]:
    world = make_world(size)
    pairs = [
        Contest("torch", "", lambda: bare_torch(world), lambda: ours("torch", world)),
        Contest("mxnet", "", lambda: bare_mxnet(world), lambda: ours("mxnet", world)),
    ]
    return f"{INPUTS} inputs, {HIDDEN} hidden units, {FACTORS} factors, batches of {BATCH}", pairs


main = command("Print the seconds of an epoch of `two-tower`, bare and ours, of each engine.", contests)

if __name__ == "__main__":
    main()
