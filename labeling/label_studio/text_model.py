"""A text's labels and how sure they are: the kernel model of automatic labeling, for texts that come later.

It is fitted as in `labeling.autolabel`: kernel ridge whose sharpness and penalty fit held-out labels best, and a
confidence calibrated on what it says of each labeled text without that text's own label.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from labeling.autolabel import kernel as kernels
from labeling.autolabel.guarantee import Calibration
from labeling.autolabel.kernel import EXACT_UP_TO, Kernel, View
from labeling.autolabel.sets import of_names
from labeling.label_studio.deciding import OneLabel, SeveralLabels, from_dict
from labeling.label_studio.encoder import Encoder, Rows
from palate.errors import InputError

FEWEST = 4
"""Labeled texts below which nothing is learned."""
MAX_TEXTS = 20_000
"""Texts that words and directions are learned from; of more, so many drawn evenly."""
_VIEW = "words"
_CHUNK = 1000


@dataclass(frozen=True)
class TextModel:
    """labels: what it can say. centers: (n, d) rows of the texts it learned from, coefficients: (n, labels).

    accuracy: the share of held-out texts that it had right, of several labels with all of them.
    """

    labels: tuple[str, ...]
    encoder: Encoder
    centers: Rows
    coefficients: NDArray[np.float32]
    kernel: Kernel
    scale: float
    says: OneLabel | SeveralLabels
    calibration: Calibration
    accuracy: float

    @classmethod
    def fit(
        cls,
        labeled: Sequence[tuple[str, Sequence[str]]],
        others: Sequence[str] = (),
        seed: int = 0,
        *,
        several: bool = False,
        empty: bool = False,
    ) -> TextModel:
        """From texts with their labels; `others` are texts without, which tell about words.

        several: whether a text has a set of labels, and not one. empty: whether no label at all is a set, too.
        Raises InputError with fewer than 4 labeled texts, or with one label only.
        """
        labels = tuple(sorted({label for _, given in labeled for label in given}))
        if len(labeled) < FEWEST or len(labels) < 2:
            raise InputError(
                f"{len(labeled)} texts with {len(labels)} different labels are too few to learn from.",
                hint=f"Label at least {FEWEST} texts, with 2 different labels.",
            )
        rng = np.random.default_rng(seed)
        labeled = _some(labeled, EXACT_UP_TO, rng)
        known = [text for text, _ in labeled]
        members = of_names([given for _, given in labeled], labels)
        codes = members if several else members.argmax(axis=1)
        with threadpool_limits(1 if len(labeled) < _CHUNK else None, "blas"):
            encoder = Encoder.fit([*known, *_some(others, MAX_TEXTS - len(known), rng)], seed)
            view = View.of(encoder.rows(known))
            items = np.arange(len(known), dtype=np.intp)
            kernel = kernels.choose({_VIEW: view}, items, codes, len(labels), rng)
            gram = kernel.between({_VIEW: view}, items, items)
            coefficients, held_out = kernels.left_out(gram, kernels.one_hot(codes, len(labels)), kernel.ridge)
        says, told, right = (
            SeveralLabels.fit(held_out, members, empty=empty) if several else OneLabel.fit(held_out, members)
        )
        calibration = Calibration.fit(told, right, np.ones(len(right)))
        return cls(
            labels,
            encoder,
            view.rows,
            coefficients.astype(np.float32),
            kernel,
            view.scale,
            says,
            calibration,
            float(right.mean()),
        )

    def predict(self, texts: Sequence[str]) -> list[tuple[tuple[str, ...], float] | None]:
        """Each text's labels and the probability that they are right; None for a text in which nothing is known."""
        found: list[tuple[tuple[str, ...], float] | None] = []
        for first in range(0, len(texts), _CHUNK):
            with threadpool_limits(1, "blas"):
                found += self._predict(texts[first : first + _CHUNK])
        return found

    def _predict(self, texts: Sequence[str]) -> list[tuple[tuple[str, ...], float] | None]:
        new = self.encoder.rows(texts)
        rows = np.vstack([self.centers, new])
        view = View(rows, np.einsum("ij,ij->i", rows, rows), self.scale)
        known = np.arange(len(self.centers), dtype=np.intp)
        asked = np.arange(len(self.centers), len(rows), dtype=np.intp)
        chosen, told = self.says(self.kernel.between({_VIEW: view}, asked, known) @ self.coefficients)
        # Laplace's rule of succession: as many held-out labels, all right, make nobody surer than that.
        surest = (len(known) + 1) / (len(known) + 2)
        sure = np.minimum(self.calibration(told), surest)
        labels = [tuple(self.labels[place] for place in np.flatnonzero(row)) for row in chosen]
        return [(labels[each], float(sure[each])) if row.any() else None for each, row in enumerate(new)]

    def to_bytes(self) -> bytes:
        """A NumPy archive that `from_bytes` reads; no pickle."""
        about = {
            "labels": self.labels,
            "sharpness": self.kernel.sharpness[_VIEW],
            "ridge": self.kernel.ridge,
            "scale": self.scale,
            "says": self.says.to_dict(),
            "intercept": self.calibration.intercept,
            "slopes": self.calibration.slopes,
            "accuracy": self.accuracy,
        }
        arrays: dict[str, NDArray[Any]] = {
            "about": np.frombuffer(json.dumps(about).encode(), dtype=np.uint8),
            "centers": self.centers,
            "coefficients": self.coefficients,
            **self.encoder.to_arrays(),
        }
        file = io.BytesIO()
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
        return file.getvalue()

    @classmethod
    def from_bytes(cls, kept: bytes) -> TextModel:
        with np.load(io.BytesIO(kept), allow_pickle=False) as arrays:
            about: dict[str, Any] = json.loads(arrays["about"].tobytes())
            return cls(
                tuple(about["labels"]),
                Encoder.from_arrays(arrays),
                arrays["centers"],
                arrays["coefficients"],
                Kernel({_VIEW: 1.0}, {_VIEW: about["sharpness"]}, about["ridge"]),
                about["scale"],
                from_dict(about.get("says", about)),  # of an older model it stands among the rest
                Calibration(about["intercept"], tuple(about["slopes"])),
                about["accuracy"],
            )


def _some(values: Sequence[Any], most: int, rng: np.random.Generator) -> Sequence[Any]:
    """All of them, or `most` drawn evenly, in their order."""
    if len(values) <= most:
        return values
    return [values[each] for each in np.sort(rng.choice(len(values), max(most, 0), replace=False))]
