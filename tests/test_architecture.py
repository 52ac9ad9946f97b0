"""The import contracts of pyproject.toml cover every module there is, so that a new one cannot slip past them."""

import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ALLOWED = {
    "pyspark only under palate.spark and spark_jobs": {"palate.spark", "spark_jobs"},
    "Flask only under palate.web, services and labeling": {"palate.web", "services", "labeling"},
}


def contracts():
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    return {contract["name"]: contract for contract in told}


def modules():
    """Every house, and every module of the library one level down."""
    library = ROOT / "palate"
    names = {f"palate.{path.stem}" for path in library.glob("[!_]*.py")}
    names |= {f"palate.{path.parent.name}" for path in library.glob("*/__init__.py")}
    return names | {"services", "labeling", "spark_jobs"}


@pytest.mark.parametrize("name", ALLOWED)
def test_a_contract_names_every_module_but_those_that_may(name):
    assert set(contracts()[name]["source_modules"]) == modules() - ALLOWED[name]


def test_every_house_is_a_root():
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    assert set(told["root_packages"]) == {"palate", "services", "labeling", "spark_jobs"}
