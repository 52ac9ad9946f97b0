"""results.json and results.md."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_PACKAGES = ("palate", "numpy", "scipy", "implicit", "pandas", "pyarrow", "pyspark")


def machine() -> dict[str, Any]:
    """What the numbers depend on."""
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "processor": platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "python": platform.python_version(),
        "versions": versions,
    }


def write(folder: Path, results: Sequence[dict[str, Any]], quick: bool) -> None:
    """Both files, from the entries of `benchmarks.harness.record`."""
    about = machine()
    whole = {"quick": quick, "machine": about, "results": list(results)}
    (folder / "results.json").write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")
    (folder / "results.md").write_text(markdown(about, results, quick), encoding="utf-8")


def markdown(about: dict[str, Any], results: Sequence[dict[str, Any]], quick: bool) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    lines = [
        f"{about['cores']} cores ({about['processor']}), Python {about['python']}; {versions}. Medians, in seconds.",
        "",
        "| claim | size | peer | peer's time | ours | ratio |",
        "|---|---|---|--:|--:|--:|",
    ]
    if quick:
        lines.insert(0, "**A quick run: sizes too small to compare anything.**\n")
    for entry in results:
        lines.append(
            f"| {entry['claim']} | {entry['size']} | {entry['peer']} "
            f"| {entry['peer_seconds']:.3g} | {entry['ours_seconds']:.3g} | {entry['ratio']:.3g} x |"
        )
    notes = [f"- `{entry['name']}`: {_note(entry)}" for entry in results if entry["note"] or entry["quality"]]
    return "\n".join([*lines, *([""] if notes else []), *notes]) + "\n"


def _note(entry: dict[str, Any]) -> str:
    quality = [
        f"{name} {_number(values['peer'])} (peer), {_number(values['ours'])} (ours)"
        for name, values in entry["quality"].items()
    ]
    return " ".join([*(["; ".join(quality) + "."] if quality else []), *([entry["note"]] if entry["note"] else [])])


def _number(value: float) -> str:
    """A share with all its digits, a rate without what says nothing."""
    return f"{value:.4f}" if abs(value) < 2 else f"{value:.0f}"
