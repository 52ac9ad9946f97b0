"""Matrix factorization in MXNet: parameters and updates live in Gluon.

MXNet runs behind Python: an operator is queued and computed by threads of its own, so that the next batch is prepared
while this one is computed. A loss is therefore asked for once in many batches.
"""

from __future__ import annotations

from typing import Any

from palate.engines import import_mxnet
from palate.models.epochs import BETAS, EPSILON, Parameters
from palate.models.mf.batches import Rows
from palate.models.mf.definition import ITEMS, USERS, Definition


class MXNetEngine:
    """Parameters are Gluon's, moved by its Trainer; those of the tables have row-sparse gradients and lazy updates.

    A step is one for each batch of the rows.
    """

    name = "mxnet"

    def __init__(self, definition: Definition, start: Parameters) -> None:
        self.mxnet = mxnet = import_mxnet()
        self.definition = definition
        self.context = mxnet.gpu() if mxnet.context.num_gpus() else mxnet.cpu()
        self.device = "gpu" if mxnet.context.num_gpus() else "cpu"
        self.held: dict[str, Any] = {}
        for name, values in definition.packed(start).items():
            parameter = mxnet.gluon.Parameter(
                name, shape=values.shape, grad_stype="row_sparse" if name in (USERS, ITEMS) else "default"
            )
            parameter.initialize(init=mxnet.init.Zero(), ctx=self.context)
            parameter.set_data(self._array(values))
            self.held[name] = parameter
        adam = {"beta1": BETAS[0], "beta2": BETAS[1], "epsilon": EPSILON, "lazy_update": True}
        self.trainer = mxnet.gluon.Trainer(list(self.held.values()), "adam", adam, kvstore=None)

    def step(self, rows: Rows, rate: float) -> Any:
        nd, size = self.mxnet.nd, self.definition.batch_size
        self.trainer.set_learning_rate(rate)
        users, items, targets = (self._array(each) for each in (rows.users, rows.items, rows.targets))
        losses = []
        for start in range(0, len(rows), size):
            stop = min(start + size, len(rows))
            with self.mxnet.autograd.record():
                loss = self._loss(users[start:stop], items[start:stop], targets[start:stop])
            loss.backward()
            self.trainer.step(1)
            losses.append(loss)
        return nd.concat(*losses, dim=0).asnumpy().sum(dtype="float64")

    def total(self, losses: list[Any]) -> float:
        return float(sum(map(float, losses)))

    def _array(self, values: Any) -> Any:
        """A copy in MXNet, of the same type. (`nd.array` asks for names that SciPy gives up.)"""
        return self.mxnet.nd.from_numpy(values, zero_copy=False).as_in_context(self.context)

    def _loss(self, users: Any, items: Any, targets: Any) -> Any:
        nd, definition = self.mxnet.nd, self.definition
        held = {name: parameter.data() for name, parameter in self.held.items()}

        def lookup(codes: Any, name: str) -> Any:
            rows, width = held[name].shape
            return nd.Embedding(codes, held[name], input_dim=rows, output_dim=width, sparse_grad=True)

        mine, theirs, width = lookup(users, USERS), lookup(items, ITEMS), definition.factors
        lengths = _square(nd, mine) + _square(nd, theirs) / items.shape[1]
        direction, bias = (mine.slice_axis(axis=1, begin=at, end=to) for at, to in ((0, width), (width, width + 1)))
        ones = nd.ones(items.shape, ctx=self.context).expand_dims(2)
        scores = 0
        if definition.network == "neural":
            # Of a matrix times two vectors side by side, what the user's half gives is the same for all items.
            first, output = held["hidden_0_weight"], held["output_weight"]
            halves = [first.slice_axis(axis=1, begin=begin, end=begin + width) for begin in (0, width)]
            inputs = [each.slice_axis(axis=-1, begin=width + 1, end=None) for each in (mine, theirs)]
            theirs = theirs.slice_axis(axis=2, begin=0, end=width + 1)
            of_users = nd.FullyConnected(inputs[0], halves[0], held["hidden_0_bias"], num_hidden=len(first))
            of_items = nd.FullyConnected(inputs[1], halves[1], num_hidden=len(first), no_bias=True, flatten=False)
            # A product with ones repeats faster than broadcasting, whose gradient takes ten times as long.
            hidden = nd.relu(nd.batch_dot(ones, of_users.expand_dims(1)) + of_items)
            for layer in range(1, definition.layers):
                weight, shift = held[f"hidden_{layer}_weight"], held[f"hidden_{layer}_bias"]
                hidden = nd.relu(nd.FullyConnected(hidden, weight, shift, num_hidden=len(weight), flatten=False))
            last = output.slice_axis(axis=1, begin=width, end=None)
            scores = nd.FullyConnected(hidden, last, num_hidden=1, no_bias=True, flatten=False).squeeze(axis=2)
            direction = nd.broadcast_mul(direction, output.slice_axis(axis=1, begin=0, end=width))
        direction = nd.concat(direction, nd.ones_like(bias), dim=1).expand_dims(2)  # the item's bias counts once
        scores = scores + nd.batch_dot(theirs, direction).squeeze(axis=2)
        scores = nd.broadcast_add(scores, bias) + definition.offset
        if definition.objective == "ratings":
            losses = nd.square(scores - targets)
        else:
            losses = nd.relu(scores) - scores * targets + nd.Activation(-nd.abs(scores), act_type="softrelu")
        return losses.sum() + definition.regularization * lengths

    def parameters(self) -> Parameters:
        return self.definition.unpacked({name: each.data().asnumpy() for name, each in self.held.items()})


def _square(nd: Any, values: Any) -> Any:
    """The sum of squares; as a dot product its gradient takes a third of the time."""
    flat = values.reshape(-1)
    return nd.dot(flat, flat)
