"""`python -m benchmarks.sasrec_engines`: the training of `sasrec` beside a bare loop in torch.

Each epoch begins anew, on both sides: what is timed is one pass from the start to the trained arrays. The loss is that
of the last items of some histories, by the trained model.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.special import logsumexp

from benchmarks.data import Size, generate
from benchmarks.engines import Contest, Epoch, command
from palate.dataset.ids import Codes
from palate.engines import import_torch
from palate.kernels.attention import encode
from palate.models.sasrec import SASRecParams
from palate.models.sasrec_training import train
from palate.models.sequences import Ordered

PARAMS = SASRecParams(epochs=1, patience=0)
PROBED = 200
"""Histories whose last item is asked for."""


def last_items(histories: Ordered) -> tuple[Codes, Codes]:
    """Stretches of history `(n, longest)`, padded behind, and the item that follows each."""
    ends = histories.starts[1 : PROBED + 1] - 1
    counts = np.minimum(histories.lengths[:PROBED] - 1, PARAMS.length)
    return histories.rows(ends - counts, counts), histories.codes[ends]


def ours(histories: Ordered, n_items: int) -> Epoch:
    before, wanted = last_items(histories)

    def epoch() -> float:
        weights, items, _ = train(histories, n_items, PARAMS)
        scores = encode(weights, items[:, :-1], before, PARAMS.heads) @ items[:, :-1].T + items[:, -1]
        return float((logsumexp(scores, axis=1) - scores[np.arange(len(wanted)), wanted]).mean())

    return epoch


def bare(histories: Ordered, n_items: int) -> Epoch:
    torch = import_torch()
    nn, do = torch.nn, torch.nn.functional
    width, length = PARAMS.factors, PARAMS.length

    class Block(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
            self.mixed, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.up, self.down = nn.Linear(width, width), nn.Linear(width, width)
            self.dropout = nn.Dropout(PARAMS.dropout)

        def forward(self, state: Any) -> Any:
            parts = self.mixed(self.first(state)).unsqueeze(1).chunk(3, dim=-1)
            attended = do.scaled_dot_product_attention(*parts, is_causal=True).squeeze(1)
            state = state + self.dropout(self.out(attended))
            hidden = self.dropout(torch.relu(self.up(self.second(state))))
            return state + self.dropout(self.down(hidden))

    class Net(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.items, self.positions = nn.Embedding(n_items, width), nn.Embedding(length, width)
            nn.init.normal_(self.items.weight, std=0.1)
            self.popular = nn.Parameter(popular - popular.mean())
            self.dropout, self.last = nn.Dropout(PARAMS.dropout), nn.LayerNorm(width)
            self.blocks = nn.Sequential(*(Block() for _ in range(PARAMS.blocks)))

        def forward(self, codes: Any) -> Any:
            state = self.items(codes) * width**0.5 + self.positions.weight[: codes.shape[1]]
            return self.last(self.blocks(self.dropout(state)))

    popular = torch.from_numpy(np.log(np.bincount(histories.codes, minlength=n_items) + 1.0).astype(np.float32))
    before, after = map(torch.from_numpy, last_items(histories))
    ends = (before >= 0).sum(1) - 1
    starts, lengths = histories.windows(length, np.random.default_rng(0))
    rows = torch.from_numpy(histories.rows(starts, lengths + 1)).long()  # padded behind with -1
    correction = math.log(n_items / PARAMS.negatives)

    def epoch() -> float:
        net = Net()
        optimizer = torch.optim.Adam(net.parameters(), lr=PARAMS.learning_rate, betas=(0.9, 0.98))
        for part in torch.randperm(len(rows)).split(PARAMS.batch):
            batch = rows[part]
            real = batch[:, 1:] >= 0
            states, wanted = net(batch[:, :-1].clamp(min=0))[real], batch[:, 1:][real]
            if n_items <= PARAMS.negatives:
                loss = do.cross_entropy(states @ net.items.weight.T + net.popular, wanted)
            else:
                drawn = torch.randint(n_items, (PARAMS.negatives,))
                target = (states * net.items(wanted)).sum(1, keepdim=True) + net.popular[wanted, None]
                others = states @ net.items(drawn).T + net.popular[drawn] + correction
                others = others.masked_fill(drawn == wanted[:, None], -math.inf)
                logits = torch.cat([target, others], 1)
                loss = do.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        net.eval()
        with torch.no_grad():
            states = net(before.long().clamp(min=0))[torch.arange(len(ends)), ends]
            return float(do.cross_entropy(states @ net.items.weight.T + net.popular, after.long()))

    return epoch


def contests(size: Size) -> tuple[str, list[Contest]]:
    data = generate(size)
    histories = Ordered.of_interactions(data, data.item_codes)
    pair = Contest("torch", "", lambda: bare(histories, data.n_items), lambda: ours(histories, data.n_items))
    return f"{PARAMS.factors} factors, {PARAMS.blocks} blocks, histories of {PARAMS.length}", [pair]


main = command("Print the seconds of an epoch of `sasrec`, bare and ours.", contests)

if __name__ == "__main__":
    main()
