"""Items into views: matrices from which a learner can learn.

Texts become word and letter counts (TF-IDF, reduced to their leading directions) and, where sentence-transformers is
installed, embeddings of their meaning. Tables become columns of numbers. All of it is learned from all items at once,
without labels, and nothing is downloaded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palate.errors import InputError, ParameterError
from palate.features.embeddings import OFFLINE_MODEL, embedded, embeddings_available, language_model
from palate.files import written_whole

Rows = NDArray[np.float32]
TEXT_FEATURES = ("auto", "tfidf", "embeddings")
_DIRECTIONS = 512
_COLUMNS_PER_CATEGORY = 50


def text_views(
    texts: Sequence[str], features: str = "auto", *, cache: Path | None = None, model: str = OFFLINE_MODEL
) -> dict[str, Rows]:
    """Views of texts: `words` always, `meaning` with embeddings; `auto` takes these if they can be had offline.

    cache: a folder that keeps embeddings by model and text. model: any SentenceTransformer's name or folder.
    Raises InputError if no text holds a word, MissingDependencyError if embeddings are asked for and cannot be made.
    """
    if features not in TEXT_FEATURES:
        raise ParameterError(f"must be one of {', '.join(TEXT_FEATURES)}, not {features!r}.", where="features")
    views = {"words": tfidf(texts)}
    if features == "embeddings" or (features == "auto" and embeddings_available()):
        views["meaning"] = embeddings(texts, cache=cache, model=model)
    return views


def tfidf(texts: Sequence[str], directions: int = _DIRECTIONS) -> Rows:
    """(n, d <= directions): word pairs and letter groups, TF-IDF, in their leading singular directions; unit rows."""
    from scipy import sparse
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.preprocessing import normalize

    counted = []
    for settings in ({"ngram_range": (1, 2)}, {"analyzer": "char_wb", "ngram_range": (2, 5)}):
        rarest = 2 if len(texts) >= 1000 else 1
        vectorizer = TfidfVectorizer(
            sublinear_tf=True, min_df=rarest, max_features=50_000, dtype=np.float32, **settings
        )
        try:
            counted.append(vectorizer.fit_transform(texts))
        except ValueError:  # not one word in all texts; the letters may still tell
            continue
    if not counted:
        raise InputError("no text holds a word or letter to learn from.", where="texts")
    weights = normalize(sparse.hstack(counted).tocsr(), copy=False)
    kept = min(directions, min(weights.shape) - 1)
    if kept < 2:
        return np.asarray(weights.toarray(), dtype=np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):  # it divides by the variance, of which equal texts have none
        reduced = TruncatedSVD(kept, n_iter=2, random_state=0).fit_transform(weights)
    unit: Rows = normalize(reduced).astype(np.float32)
    return unit


def embeddings(texts: Sequence[str], *, cache: Path | None = None, model: str = OFFLINE_MODEL, batch: int = 64) -> Rows:
    """(n, d) unit rows by a SentenceTransformer; from `cache` if these very texts were embedded before."""
    kept = None
    if cache is not None:
        digest = hashlib.sha256(model.encode())
        for text in texts:
            digest.update(len(text).to_bytes(8, "little") + text.encode("utf-8", "surrogatepass"))
        kept = cache / "embeddings" / f"{digest.hexdigest()}.npy"
        found = _kept(kept, len(texts))
        if found is not None:
            return found
    made = embedded(language_model(model), texts, batch)
    if kept is not None:
        try:
            kept.parent.mkdir(parents=True, exist_ok=True)
            with written_whole(kept) as file:
                np.save(file, made)
        except (OSError, InputError):  # a cache that cannot be written costs time, not the result
            pass
    return made


def _kept(path: Path, n: int) -> Rows | None:
    try:
        rows: Rows = np.load(path)
    except (OSError, ValueError):
        return None
    return rows if rows.ndim == 2 and len(rows) == n else None


def table_views(columns: Mapping[str, Sequence[Any]]) -> dict[str, Rows]:
    """Views of a table's columns: numbers `raw`, as they are, and `scaled` to variance 1; categories as indicators.

    Missing numbers take the column's median and are marked in a column of their own. A column of words with more than
    50 different values is left out. Raises InputError if nothing is left.
    """
    import pandas as pd

    numbers: list[Rows] = []
    marks: list[Rows] = []
    for values in columns.values():
        column = pd.Series(values)
        as_numbers = pd.to_numeric(column, errors="coerce").astype(float).replace([np.inf, -np.inf], np.nan)
        if as_numbers.notna().any() and not (as_numbers.isna() & column.notna() & (column.astype(str) != "")).any():
            missing = as_numbers.isna()
            numbers.append(as_numbers.fillna(as_numbers.median()).to_numpy(np.float32))
            if missing.any():
                marks.append(missing.astype(np.float32).to_numpy())
        elif column.nunique() <= _COLUMNS_PER_CATEGORY:
            marks.extend(pd.get_dummies(column.astype(str)).to_numpy(np.float32).T)
    if not numbers and not marks:
        raise InputError("no column holds numbers or a few categories to learn from.", where="columns")
    n = len(next(iter(columns.values())))
    raw = np.column_stack(numbers) if numbers else np.empty((n, 0), np.float32)
    marked = np.column_stack(marks) if marks else np.empty((n, 0), np.float32)
    spread = raw.std(axis=0)
    scaled = np.clip((raw - raw.mean(axis=0)) / np.where(spread > 0, spread, 1.0), -5.0, 5.0)
    views = {"scaled": np.hstack([scaled, marked]).astype(np.float32)}
    if raw.shape[1]:
        views["raw"] = raw
    return views
