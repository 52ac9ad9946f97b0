"""A bundle as an MLflow pyfunc: `mlflow.pyfunc.load_model(...)` finds this module by the model's `loader_module`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from palate.bundle.reader import load_bundle
from palate.models.protocol import Artifact

if TYPE_CHECKING:
    import pandas as pd


class BundleModel:
    """`predict` from a DataFrame with the signature's input columns to one with its output columns."""

    def __init__(self, artifact: Artifact) -> None:
        self.artifact = artifact

    def predict(self, frame: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """`params` are handed on, for example `{"n": 5}` to a recommender. Raises SchemaError for a missing column."""
        import pandas as pd

        columns = {str(name): frame[name].tolist() for name in frame.columns}
        answer = self.artifact.predict({**columns, **(params or {})})
        given = [name for name in self.artifact.signature().outputs if name in answer]
        return pd.DataFrame(answer, index=frame.index, columns=given)


def _load_pyfunc(data_path: str) -> BundleModel:
    """What MLflow calls with the path of the model's data, which is the bundle."""
    return BundleModel(load_bundle(data_path))
