"""`palate bundle verify` and `palate bundle show`: is a bundle whole, and what is in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.tree import Tree

from palate.bundle import Manifest, read_manifest, verify_bundle
from palate.bundle.manifest import Content, DenseEntry
from palate.errors import BundleError

_PATH = click.argument("path", type=click.Path(path_type=Path))
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON, for other programs.")


@click.group()
def bundle() -> None:
    """Verify or show a model bundle."""


@bundle.command()
@_PATH
@_JSON
def verify(path: Path, as_json: bool) -> None:
    """Check every byte of the bundle at PATH against its manifest; exit code 2 if anything differs."""
    try:
        manifest = verify_bundle(path)
    except BundleError as error:
        if as_json:
            click.echo(json.dumps({"ok": False, "path": str(path), "reason": str(error)}))
        raise
    if as_json:
        click.echo(json.dumps({"ok": True, "path": str(path), "kind": manifest.kind, "files": len(manifest.files)}))
    else:
        click.echo(f"{path}: whole. A {manifest.kind} model, {len(manifest.files)} files, {_size(manifest.size)}.")


@bundle.command()
@_PATH
@_JSON
def show(path: Path, as_json: bool) -> None:
    """Say what the bundle at PATH holds and where it came from; its files are not read."""
    manifest = read_manifest(path)
    if as_json:
        click.echo(manifest.encoded().decode(), nl=False)
        return
    console = Console(soft_wrap=True, highlight=False, markup=False)
    console.print(_facts(path, manifest))
    if manifest.metrics:
        table = Table("metric", "value", box=None, pad_edge=False)
        for name, value in manifest.metrics.items():
            table.add_row(name, f"{value:.6g}")
        console.print(table)
        console.print()
    if lines := _compiled(manifest):
        console.print("\n".join(lines), end="\n\n")
    tree = Tree(f"{manifest.kind} ({_signature(manifest)})")
    _grow(tree, manifest)
    console.print(tree)


def _facts(path: Path, manifest: Manifest) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_row("bundle", str(path))
    table.add_row("kind", manifest.kind)
    table.add_row("created", f"{manifest.created:%Y-%m-%d %H:%M:%S} UTC by Palate {manifest.palate}")
    table.add_row("size", f"{_size(manifest.size)} in {len(manifest.files)} files, format {manifest.format}")
    for name, value in manifest.lineage.items():
        if name != "compiled":
            table.add_row(name, _short(value))
    table.add_row()
    return table


def _compiled(manifest: Manifest) -> list[str]:
    """What `palate compile` measured, as it printed it; nothing of a bundle that it did not write."""
    if "compiled" not in manifest.lineage:
        return []
    from palate.models.compiling import Report

    try:
        return Report.of(manifest.lineage["compiled"]).lines()
    except (TypeError, KeyError, ValueError):  # by another version of Palate, or another program
        return [f"compiled: {_short(manifest.lineage['compiled'])}"]


def _grow(tree: Tree, content: Content) -> None:
    for line in _lines(content):
        tree.add(line)
    for name, part in content.parts.items():
        _grow(tree.add(f"{name}: {part.kind} ({_signature(part)})"), part)


def _lines(content: Content) -> Iterator[str]:
    for name, value in content.params.items():
        if content.parts and name == "stages":
            continue  # the parts below say it
        values = value.items() if isinstance(value, dict) else [(name, value)]
        yield from (f"{key} = {_short(each)}" for key, each in values)
    for name, entry in content.arrays.items():
        kind = "dense" if isinstance(entry, DenseEntry) else "csr"
        yield f"{name}: {kind} {entry.dtype.lstrip('<|')} {' x '.join(map(str, entry.shape)) or 'scalar'}"
    for name, ids in content.ids.items():
        yield f"{name}: {ids.count} {ids.type} ids"


def _signature(content: Content) -> str:
    signature = content.signature
    return f"{', '.join(signature.inputs)} -> {', '.join(signature.outputs)}"


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 100 else text[:97] + "..."


def _size(size: int) -> str:
    amount, unit = float(size), "bytes"
    for larger in ("KB", "MB", "GB"):
        if amount < 1000:
            break
        amount, unit = amount / 1000, larger
    return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
