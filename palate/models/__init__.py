"""Models: one module each, all on the protocol of `palate.models.protocol`.

`KINDS` is the one list of what a bundle can hold: kind to "module:Class". Modules are imported when asked for, so
that torch and mxnet are loaded only by those who use them. Packages add kinds by the entry point `palate.models`.
"""

from __future__ import annotations

import dataclasses
import importlib
import typing
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any

from palate.errors import BundleFormatError, ParameterError
from palate.models.protocol import Artifact, Recommender

KINDS: dict[str, str] = {
    "popularity": "palate.models.popularity:Popularity",
    "als": "palate.models.als:ALS",
    "ials": "palate.models.ials:IALS",
    "bpr": "palate.models.bpr:BPR",
    "logistic-mf": "palate.models.logistic_mf:LogisticMF",
    "explicit-mf": "palate.models.explicit_mf:ExplicitMF",
    "mf": "palate.models.mf.recommender:MF",
    "ease": "palate.models.ease:EASE",
    "sparse-ease": "palate.models.sparse_ease:SparseEASE",
    "item-knn": "palate.models.item_knn:ItemKNN",
    "user-knn": "palate.models.user_knn:UserKNN",
    "graph-filter": "palate.models.graph_filter:GraphFilter",
    "sasrec": "palate.models.sasrec:SASRec",
    "content": "palate.models.content:ContentSimilarity",
    "cold-start": "palate.models.cold:ColdStart",
    "content-map": "palate.models.cold:ContentMap",
    "two-tower": "palate.models.two_tower:TwoTower",
    "fm-ranker": "palate.models.deep_fm:FMRanker",
    "blend": "palate.models.blend:Blend",
    "auto": "palate.models.auto:Auto",
    "content-encoder": "palate.features.encoder:ContentEncoder",
    "deepfm": "palate.models.deep_fm:DeepFM",
    "fm": "palate.models.factorization_machine:FactorizationMachine",
    "pca": "palate.models.pca:PCA",
    "factors": "palate.models.factors:Factors",
    "kmeans": "palate.models.kmeans:KMeans",
    "pipeline": "palate.models.pipeline:ArtifactPipeline",
}


def artifact_class(kind: str) -> type[Artifact]:
    """The class of a kind. Raises BundleFormatError for an unknown one, naming those known."""
    plugins = {point.name: point.value for point in entry_points(group="palate.models")}
    known = {**plugins, **KINDS}
    if kind not in known:
        raise BundleFormatError(f"there is no model kind {kind!r}.", hint=f"Known: {', '.join(sorted(known))}.")
    module, name = known[kind].split(":")
    found: type[Artifact] = getattr(importlib.import_module(module), name)
    return found


def recommender_class(kind: str) -> type[Recommender]:
    """The class of a kind that ranks items. Raises ParameterError for any other."""
    try:
        found = artifact_class(kind)
    except BundleFormatError as error:
        raise ParameterError(error.message, where="model", hint=error.hint) from None
    if not issubclass(found, Recommender):
        raise ParameterError(f"{kind!r} does not rank items.", where="model")
    return found


def make_recommender(kind: str, values: Mapping[str, Any] | None = None) -> Recommender:
    """A new recommender. String values (from a command line) become the types that its `Params` declares.

    Raises ParameterError for an unknown kind or parameter, or a value that does not parse.
    """
    found = recommender_class(kind)
    hints = typing.get_type_hints(found.Params)
    names = {f.name for f in dataclasses.fields(found.Params)}
    parsed = {
        name: _parse(f"{kind}.{name}", value, hints[name]) if isinstance(value, str) and name in names else value
        for name, value in (values or {}).items()
    }
    return found(**parsed)


def _parse(where: str, text: str, hint: Any) -> Any:
    """A command-line value as the declared type, by pydantic's lax rules ("0.5" is a float, "yes" a bool)."""
    from pydantic import TypeAdapter, ValidationError

    adapter = TypeAdapter(hint)
    try:
        return adapter.validate_strings(text)
    except ValidationError as error:
        told = error.errors()[0]
    try:
        return adapter.validate_json(text)
    except ValidationError as error:
        if error.errors()[0]["type"] != "json_invalid":  # it was not meant as JSON, then
            told = error.errors()[0]
    raise ParameterError(f"{text[:80]!r} does not fit: {told['msg']}.", where=where)


__all__ = ["KINDS", "artifact_class", "make_recommender", "recommender_class"]
