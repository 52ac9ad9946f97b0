"""What is loaded before the first request of a worker, however it was made."""

from __future__ import annotations

import subprocess
import sys


def test_what_first_requests_would_load_is_there_once_the_app_is_made(tmp_path) -> None:
    """A filter of every kind and a row for k-means load nothing of pandas, which takes half a second, any more."""
    program = f"""
import os, sys
import numpy as np
from palate.models.kmeans import KMeans
from services.endpoints import answers
from services.endpoints.app import create
from services.endpoints.settings import EndpointSettings
from services.recommender.filters.columns import Columns, Facts

create(EndpointSettings(home={str(tmp_path)!r}))
before = set(sys.modules)
columns = Columns(Facts(2, {{}}, [{{"a": 1.0, "b": "x", "c": True, "d": ["y"]}}, {{}}]))
masks = [columns.mask(text).tolist() for text in ("a > 0", 'b = "x"', "c = true", 'd in ("y", "z")')]
told = answers.predict(KMeans([[0.0, 0.0], [3.0, 4.0]]), {{"features": np.array([[3.0, 4.0]], np.float32)}})
print(masks == [[True, False]] * 4, len(told), sorted(name for name in set(sys.modules) - before if "pandas" in name))
sys.stdout.flush()
os._exit(0)  # its threads are of no use
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout.split("\n")[0] == "True 2 []", ran.stdout
