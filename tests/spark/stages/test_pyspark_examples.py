"""pyspark's own documentation examples, with our classes in place of its own.

Those in the docstrings answer what is printed there, but for the sign of decimals, and, where it was trained from
random starts, their size; the example programs run from the first line to the last and reach what they are examples of.
"""

from __future__ import annotations

import contextlib
import doctest
import importlib
import io
import math
import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pyspark", reason="needs pyspark: pip install 'palate[spark]'")

import pyspark
from pyspark.sql import SparkSession

import palate.spark

pytestmark = pytest.mark.spark
HOME = Path(pyspark.__file__).parent
PROGRAMS = HOME / "examples" / "src" / "main" / "python" / "ml"
NUMBER = re.compile(r"-?\d+\.\d*(?:\.\.\.|E-?\d+|e-?\d+)?")
DOCUMENTED = {
    "PCA": "pyspark.ml.feature",
    "KMeans": "pyspark.ml.clustering",
    "ALS": "pyspark.ml.recommendation",
    "FMClassifier": "pyspark.ml.classification",
    "FMRegressor": "pyspark.ml.regression",
}


RANDOM = ("ALS", "FMClassifier", "FMRegressor")
"""What is trained from random starts, so that another generator of numbers gives other decimals."""


def shape(text: str, random: bool) -> str:
    """What was printed, with every decimal number as # or as its size in three decimals, without the widths of tables,
    and with the orders that hang on such numbers (of two users to whom a film is recommended) sorted."""
    text = re.sub(r"(user|item)=\[([\d, ]+)\]", lambda list_: f"{list_[1]}={sorted(list_[2].split(', '))}", text)
    text = NUMBER.sub("#" if random else size, text)
    text = text.replace("True)", "1)").replace(", dtype=bool", "")  # as the JVM and an older NumPy print
    return re.sub(r"[-+\s]*\|[-+\s]*|[-+\s]+", " ", text).strip().removesuffix(" ...")


def size(number: re.Match[str]) -> str:
    return f"{math.floor(abs(float(number[0].removesuffix('...'))) * 1000 + 1e-6) / 1000}"


def differences(source: str, names: dict[str, Any], random: bool) -> list[str]:
    """The examples in a docstring that, run one after the other, don't print what is written there."""
    found = []
    for example in doctest.DocTestParser().get_examples(source):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(example.source, f"line {example.lineno}", "single"), names)  # noqa: S102
        got, wanted = shape(printed.getvalue(), random), shape(example.want, random)
        flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        if not doctest.OutputChecker().check_output(wanted + "\n", got + "\n", flags):
            found.append(f"{example.source.strip()}\n  wanted {wanted}\n  got    {got}")
    return found


def ours() -> dict[str, Any]:
    return {name: getattr(palate.spark, name) for name in palate.spark.STAGES}


@pytest.mark.parametrize("name", DOCUMENTED)
def test_the_examples_of_the_docstring(name: str, spark: SparkSession, tmp_path: Path) -> None:
    module = importlib.import_module(DOCUMENTED[name])
    source = re.sub(rf"from {DOCUMENTED[name]} import {name}\b", "pass", getattr(module, name).__doc__)
    names = {**vars(module), **ours(), "spark": spark, "temp_path": str(tmp_path)}
    found = differences(source, names, name in RANDOM)
    assert type(names["model"]).__module__ == "palate.spark"
    assert source.count(">>> ") > 15
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("example", "random", "differs"),
    [
        (">>> 1 + 1\n3", True, True),
        (">>> [True, False]\n[True, True]", True, True),
        (">>> print('one')", True, True),
        (">>> None\n2", True, True),
        (">>> {'a': 0.5}\n{'b': 0.5}", True, True),
        (">>> [1, 0.5]\n[1, 0.75]", True, False),
        (">>> [1, 0.5]\n[1, 0.75]", False, True),
        (">>> 1.6489\n-1.648...", False, False),
        (">>> 1.6499\n-1.648...", False, True),
    ],
)
def test_an_example_that_prints_something_else_is_found(example: str, random: bool, differs: bool) -> None:
    assert bool(differences(example + "\n", {}, random)) is differs


@pytest.mark.parametrize(
    ("program", "told"),
    [
        ("pca_example", r"5\.33795134"),
        ("kmeans_example", r"Silhouette with squared euclidean distance = 0\.999"),
        ("als_example", r"Root-mean-square error = [01]\."),
        ("fm_classifier_example", r"Test set accuracy = (1|0\.9)"),
        ("fm_regressor_example", r"Root Mean Squared Error \(RMSE\) on test data = 0\.[0-6]"),
    ],
)
def test_the_example_programs(program: str, told: str, spark: SparkSession, capsys: pytest.CaptureFixture[str]) -> None:
    """The one change is the import (and the seed of a split, the session, and where Spark's data lie)."""
    source = (PROGRAMS / f"{program}.py").read_text()
    names = "|".join(DOCUMENTED)
    changed, count = re.subn(
        rf"^from pyspark\.ml\.\w+ import ({names})$", r"from palate.spark import \1", source, flags=re.M
    )
    assert count == 1
    changed = re.sub(r"randomSplit\((\[.+\])\)", r"randomSplit(\1, seed=1)", changed)
    changed = changed.replace("spark.stop()", "pass").replace('"data/mllib', f'"{HOME}/data/mllib')
    exec(compile(changed, program, "exec"), {"__name__": "__main__"})  # noqa: S102
    assert re.search(told, capsys.readouterr().out)
