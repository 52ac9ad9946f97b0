"""Matrix factorization in torch, on a GPU where torch sees one."""

from __future__ import annotations

from typing import Any

import numpy as np

from palate.engines import import_torch
from palate.models.epochs import BETAS, EPSILON, Parameters
from palate.models.mf.batches import Rows
from palate.models.mf.definition import ITEMS, USERS, Definition


class TorchEngine:
    """Parameters are tensors; those of the tables get sparse gradients. A step is one for each batch of the rows."""

    name = "torch"

    def __init__(self, definition: Definition, start: Parameters) -> None:
        self.torch = torch = import_torch()
        self.definition = definition
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.held: dict[str, Any] = {
            name: torch.tensor(values, device=self.device, requires_grad=True)
            for name, values in definition.packed(start).items()
        }
        tables = [value for name, value in self.held.items() if name in (USERS, ITEMS)]
        others = [value for name, value in self.held.items() if name not in (USERS, ITEMS)]
        self.optimizers = [torch.optim.SparseAdam(tables, betas=BETAS, eps=EPSILON)]
        if others:
            self.optimizers.append(torch.optim.Adam(others, betas=BETAS, eps=EPSILON))

    def step(self, rows: Rows, rate: float) -> Any:
        torch, size = self.torch, self.definition.batch_size
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
        users, items, targets = (
            torch.from_numpy(np.ascontiguousarray(each)).to(self.device)
            for each in (rows.users, rows.items, rows.targets)
        )
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        for start in range(0, len(rows), size):
            part = slice(start, start + size)
            loss = self._loss(users[part], items[part], targets[part])
            loss.backward()
            for optimizer in self.optimizers:
                optimizer.step()
                optimizer.zero_grad()
            total += loss.detach()
        return total

    def total(self, losses: list[Any]) -> float:
        return float(sum(map(float, losses)))

    def _loss(self, users: Any, items: Any, targets: Any) -> Any:
        torch, held, definition, factors = self.torch, self.held, self.definition, self.definition.factors
        lookup, linear = torch.nn.functional.embedding, torch.nn.functional.linear
        mine, theirs = lookup(users, held[USERS], sparse=True), lookup(items, held[ITEMS], sparse=True)
        lengths = (mine * mine).sum() + (theirs * theirs).sum() / items.shape[1]
        direction, bias = mine[:, :factors], mine[:, factors : factors + 1]
        scores = bias + definition.offset
        if definition.network == "neural":
            # Of a matrix times two vectors side by side, what the user's half gives is the same for all items.
            first, output = held["hidden_0_weight"], held["output_weight"]
            theirs, inputs = theirs.split([factors + 1, factors], dim=2)
            of_users = linear(mine[:, factors + 1 :], first[:, :factors], held["hidden_0_bias"])
            hidden = torch.relu(of_users[:, None, :] + linear(inputs, first[:, factors:]))
            for layer in range(1, definition.layers):
                hidden = torch.relu(linear(hidden, held[f"hidden_{layer}_weight"], held[f"hidden_{layer}_bias"]))
            scores = scores + linear(hidden, output[:, factors:])[:, :, 0]
            direction = direction * output[:, :factors]
        direction = torch.cat([direction, torch.ones_like(bias)], dim=1)  # the item's bias counts once
        scores = scores + (theirs * direction[:, None, :]).sum(dim=2)
        if definition.objective == "ratings":
            losses = torch.square(scores - targets)
        else:
            losses = torch.nn.functional.binary_cross_entropy_with_logits(scores, targets, reduction="none")
        return losses.sum() + definition.regularization * lengths

    def parameters(self) -> Parameters:
        return self.definition.unpacked({name: value.detach().cpu().numpy() for name, value in self.held.items()})
