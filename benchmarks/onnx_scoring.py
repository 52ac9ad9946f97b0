"""`python -m benchmarks.onnx_scoring`: two-tower and factorization machines as models here answer by them, beside the
same arithmetic written as an ONNX graph and run by ONNX Runtime. Needs `pip install 'palate[peers]'`.

Both get one thread, as a worker of a service has, and the same parameters, drawn and not trained; they go by turns, and
the median counts. An answer must be the same to 1 part in 10,000, or the run fails.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import click
import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from benchmarks.harness import alternate
from palate.features.fields import Rows
from palate.models.deep_fm.definition import Definition as Machine
from palate.models.two_tower.definition import Definition as Towers
from palate.models.two_tower.definition import tower

Floats = npt.NDArray[np.float32]
ITEMS, FEATURES = 20_000, 30_000
SLOTS = (0, 1, 2, 2, 2, 3)
"""The field of each slot of a machine's row: user, item, three categories, hour."""
CLOSE = 1e-4


class Graph:
    """An ONNX graph in the making: nodes and constants, by name."""

    def __init__(self) -> None:
        import onnx

        self.onnx, self.nodes, self.held, self.named = onnx, [], [], 0

    def const(self, values: npt.ArrayLike, kind: Any = np.float32) -> str:
        name = self._name()
        self.held.append(self.onnx.numpy_helper.from_array(np.ascontiguousarray(values, kind), name))
        return name

    def node(self, kind: str, *inputs: str, **how: Any) -> str:
        name = self._name()
        self.nodes.append(self.onnx.helper.make_node(kind, list(inputs), [name], **how))
        return name

    def total(self, values: str, axes: list[int]) -> str:
        return self.node("ReduceSum", values, self.const(axes, np.int64), keepdims=0)

    def linear(self, values: str, weight: Floats) -> str:
        return self.node("MatMul", values, self.const(weight.T))

    def relu(self, values: str, bias: Floats) -> str:
        return self.node("Relu", self.node("Add", values, self.const(bias)))

    def session(self, inputs: dict[str, tuple[Any, list[Any]]], output: str) -> Callable[..., Floats]:
        """A function of the inputs, given by name. inputs: type and shape of each."""
        import onnxruntime

        make = self.onnx.helper
        given = [
            make.make_tensor_value_info(name, make.np_dtype_to_tensor_dtype(np.dtype(kind)), shape)
            for name, (kind, shape) in inputs.items()
        ]
        told = [make.make_tensor_value_info(output, self.onnx.TensorProto.FLOAT, None)]
        model = make.make_model(
            make.make_graph(self.nodes, "scores", given, told, self.held), opset_imports=[make.make_opsetid("", 17)]
        )
        model.ir_version = 9
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return lambda **values: session.run([output], values)[0]

    def _name(self) -> str:
        self.named += 1
        return f"v{self.named}"


def towers(rng: np.random.Generator) -> dict[str, tuple[Callable[[], Floats], Callable[[], Floats]]]:
    """NumPy and ONNX Runtime: users against all items, whose outputs are kept; and the outputs of all items."""
    made = Towers(item_inputs=280, user_inputs=300, hidden=128, factors=64, regularization=0)
    held = {name: each + 0.1 for name, each in made.start(rng).items()}
    inputs = rng.standard_normal((ITEMS, made.item_inputs), np.float32)
    items = tower(held, "item", inputs)
    vectors, offsets = np.ascontiguousarray(items[:, :-1]), items[:, -1]
    kept = np.ascontiguousarray(items.T)

    def outputs(graph: Graph, side: str) -> str:
        hidden = graph.relu(graph.linear("x", held[f"{side}_hidden"]), held[f"{side}_bias"])
        return graph.node(
            "Add", graph.linear("x", held[f"{side}_linear"]), graph.linear(hidden, held[f"{side}_output"])
        )

    graph = Graph()
    scores = graph.node("Add", graph.linear(outputs(graph, "user"), vectors), graph.const(offsets))
    ask = graph.session({"x": (np.float32, [None, made.user_inputs])}, scores)
    graph = Graph()
    describe = graph.session({"x": (np.float32, [None, made.item_inputs])}, outputs(graph, "item"))
    found = {}
    for users in (1, 64):
        x = rng.standard_normal((users, made.user_inputs), np.float32)
        found[f"two-tower, {users} user{'s' * (users > 1)} x {ITEMS:,} items"] = (
            lambda x=x: np.column_stack([tower(held, "user", x), np.ones(len(x), np.float32)]) @ kept,
            lambda x=x: ask(x=x),
        )
    found[f"two-tower, outputs of {ITEMS:,} items"] = lambda: tower(held, "item", inputs), lambda: describe(x=inputs)
    return found


def machines(rng: np.random.Generator) -> dict[str, tuple[Callable[[], Floats], Callable[[], Floats]]]:
    """Rows of coded features, as the artifacts take them: 100, and one user with every item."""
    found = {}
    for network in ("fm", "deepfm"):
        made = Machine(
            network, "regression", FEATURES, SLOTS, factors=16, hidden=64, layers=2, regularization=0, offset=0.1
        )
        held = made.start(rng)
        held["linear"] = rng.standard_normal(held["linear"].shape, np.float32)
        graph = Graph()
        values = graph.node("Unsqueeze", "values", graph.const([2], np.int64))
        linear, products = (
            graph.node("Mul", graph.node("Gather", graph.const(held[name]), "codes"), values)
            for name in ("linear", "factors")
        )
        square = graph.const([2])
        whole = graph.node("Pow", graph.total(products, [1]), square)
        pairs = graph.node("Sub", whole, graph.total(graph.node("Pow", products, square), [1]))
        half = graph.node("Mul", graph.total(pairs, [1]), graph.const([0.5]))
        scores = graph.node("Add", graph.node("Add", graph.total(linear, [1, 2]), half), graph.const(held["offset"]))
        if network == "deepfm":
            wide = made.n_fields * made.factors
            hidden = graph.node(
                "Reshape", graph.node("MatMul", graph.const(made.gather), products), graph.const([-1, wide], np.int64)
            )
            for layer in range(made.layers):
                hidden = graph.relu(graph.linear(hidden, held[f"hidden_{layer}_weight"]), held[f"hidden_{layer}_bias"])
            scores = graph.node("Add", scores, graph.total(graph.linear(hidden, held["output"]), [1]))
        shape = [None, len(SLOTS)]
        ask = graph.session({"codes": (np.int64, shape), "values": (np.float32, shape)}, scores)
        for n in (100, ITEMS):
            codes = rng.integers(0, FEATURES, (n, len(SLOTS)))
            rows = Rows(codes, rng.random(codes.shape, np.float32))
            found[f"{network}, {n:,} rows"] = (
                lambda made=made, held=held, rows=rows: made.scores(held, rows),
                lambda ask=ask, rows=rows: ask(codes=rows.codes, values=rows.values),
            )
    return found


@click.command()
@click.option("--quick", is_flag=True, help="One turn of each: shows that it runs, and that the answers are equal.")
def main(quick: bool) -> None:
    """Measure our arithmetic and ONNX Runtime on the same."""
    try:
        import onnx  # noqa: F401
        import onnxruntime
    except ImportError:
        raise click.ClickException("onnx and onnxruntime are missing: pip install 'palate[peers]'") from None
    rng = np.random.default_rng(0)
    click.echo(f"ONNX Runtime {onnxruntime.__version__}, NumPy {np.__version__}, one thread each\n")
    click.echo("| what | ONNX Runtime | ours | ratio | largest difference |\n|---|--:|--:|--:|--:|")
    for name, (ours, theirs) in {**towers(rng), **machines(rng)}.items():
        with threadpool_limits(1):
            expected = ours()
            apart = float(np.abs(theirs() - expected).max() / np.abs(expected).max())
            if apart > CLOSE:
                raise click.ClickException(f"{name}: the answers differ by {apart:.1e} of the largest.")
            peer, own = (statistics.median(times) for times in alternate(theirs, ours, 31, quick))
        click.echo(f"| {name} | {1000 * peer:.3g} ms | {1000 * own:.3g} ms | {peer / own:.2f} | {apart:.0e} |")


if __name__ == "__main__":
    main()
