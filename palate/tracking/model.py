"""The folder that MLflow calls a model: a bundle, and an `MLmodel` file that says how to load it. No pickle."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from palate import __version__
from palate.bundle import Manifest
from palate.models import artifact_class
from palate.models.protocol import Recommender, Signature

if TYPE_CHECKING:
    from mlflow.models.signature import ModelSignature

BUNDLE = "bundle"
"""The bundle's name within the model's folder."""
LOADER = "palate.bundle.pyfunc"


def describe(folder: Path, manifest: Manifest, *, model_id: str, run_id: str) -> None:
    """Writes `MLmodel` and `requirements.txt`, which say that the bundle lies beside them."""
    import mlflow.pyfunc
    from mlflow.models import Model

    recommends = issubclass(artifact_class(manifest.kind), Recommender)
    model = Model(
        run_id=run_id,
        model_id=model_id,
        signature=_signature(manifest.signature, recommends),
        metadata={"palate_kind": manifest.kind, "palate_version": manifest.palate},
    )
    mlflow.pyfunc.add_to_model(model, loader_module=LOADER, data=BUNDLE)
    model.save(str(folder / "MLmodel"))
    (folder / "requirements.txt").write_text(f"palate=={__version__}\n", "utf-8")


def _signature(signature: Signature, recommends: bool) -> ModelSignature:
    from mlflow.models.signature import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
    from mlflow.types.schema import AnyType, Array

    simple = {
        "string": DataType.string,
        "int64": DataType.long,
        "int32": DataType.integer,
        "float": DataType.float,
        "double": DataType.double,
        "bool": DataType.boolean,
    }

    anything = AnyType()  # type: ignore[no-untyped-call]

    def column(kind: str) -> Any:
        if kind.startswith("list<") and kind.removeprefix("list<")[:-1] in simple:
            return Array(simple[kind.removeprefix("list<")[:-1]])
        return simple.get(kind, anything)

    def entering(kind: str) -> Any:
        # MLflow refuses Python's floats for `float`, and ints in a list of floats: the model checks vectors itself.
        return anything if kind.startswith("list<") else {"float": DataType.double}.get(kind, column(kind))

    def columns(kinds: Mapping[str, str], read: Callable[[str], Any]) -> Schema:
        optional = signature.optional
        return Schema([ColSpec(read(kind), name, required=name not in optional) for name, kind in kinds.items()])

    return ModelSignature(
        inputs=columns(signature.inputs, entering),
        outputs=columns(signature.outputs, column),
        params=ParamSchema([ParamSpec("n", DataType.integer, 10)]) if recommends else None,  # type: ignore[arg-type]
    )
