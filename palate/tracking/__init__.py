"""MLflow: runs with their lineage, and a registry whose aliases `champion` and `challenger` say what is served.

Needs mlflow-skinny only. A version in the registry is a bundle with an `MLmodel` file, so that
`mlflow.pyfunc.load_model("models:/NAME@champion").predict(frame)` works too.
"""

from palate.tracking.tracker import ALIASES, ModelVersionInfo, Tracker

__all__ = ["ALIASES", "ModelVersionInfo", "Tracker"]
