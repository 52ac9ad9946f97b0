"""Images into views, and a small convolutional network for those that pixels alone do not tell apart."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from palate.engines import import_torch
from palate.errors import ParameterError

Rows = NDArray[np.float32]


def image_views(images: NDArray[np.number], directions: int = 128) -> dict[str, Rows]:
    """Views of images (n, height, width) or (n, height, width, channels): `pixels`, in their principal components."""
    from sklearn.decomposition import PCA

    if images.ndim not in (3, 4) or not len(images):
        raise ParameterError(f"needs (n, height, width[, channels]), not {images.shape}.", where="images")
    flat = images.reshape(len(images), -1).astype(np.float32)
    if not np.isfinite(flat).all():
        raise ParameterError("holds values that are no numbers.", where="images")
    kept = min(directions, *flat.shape)
    return {"pixels": PCA(kept, random_state=0).fit_transform(flat).astype(np.float32)}


class ConvNet:
    """A scikit-learn-like classifier of images given as flat rows: two convolutions, one pooling each, one layer.

    Trained by Adam on the CPU for a fixed number of epochs; the same seed gives the same model. For `CrossFitted`.
    """

    def __init__(self, shape: tuple[int, ...], seed: int = 0, *, epochs: int = 40, channels: int = 16) -> None:
        """shape: (height, width) or (height, width, channels) of one image; height and width at least 4."""
        if len(shape) not in (2, 3) or min(shape[:2]) < 4:
            raise ParameterError(f"needs images of 4 x 4 or more, not {shape}.", where="shape")
        self._shape = (*shape, 1)[:3]
        self._seed, self._epochs, self._channels = seed, epochs, channels

    def fit(self, rows: NDArray[np.number], labels: NDArray[np.integer]) -> ConvNet:
        """Raises MissingDependencyError without torch."""
        torch = import_torch()
        self.classes_, codes = np.unique(labels, return_inverse=True)
        self._center, self._spread = float(rows.mean()), float(rows.std()) or 1.0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seed)
            self._net = self._layers(torch)
            optimizer = torch.optim.Adam(self._net.parameters(), lr=3e-3, weight_decay=1e-4)
            x, y = self._tensor(torch, rows), torch.as_tensor(codes.astype(np.int64))
            for _ in range(self._epochs):
                for batch in torch.randperm(len(x)).split(32):
                    optimizer.zero_grad()
                    torch.nn.functional.cross_entropy(self._net(x[batch]), y[batch]).backward()
                    optimizer.step()
        self._net.eval()
        return self

    def predict_proba(self, rows: NDArray[np.number]) -> NDArray[np.float64]:
        torch = import_torch()
        with torch.no_grad():
            scores = torch.cat([self._net(part) for part in self._tensor(torch, rows).split(1024)])
            probabilities: NDArray[np.float64] = torch.softmax(scores, dim=1).numpy().astype(np.float64)
        return probabilities

    def _layers(self, torch: Any) -> Any:
        height, width, depth = self._shape
        nn, channels = torch.nn, self._channels
        return nn.Sequential(
            nn.Conv2d(depth, channels, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(channels, 2 * channels, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Dropout(0.3),
            nn.Linear(2 * channels * (height // 4) * (width // 4), len(self.classes_)),
        )

    def _tensor(self, torch: Any, rows: NDArray[np.number]) -> Any:
        scaled = ((np.asarray(rows, dtype=np.float32) - self._center) / self._spread).reshape(-1, *self._shape)
        return torch.as_tensor(np.ascontiguousarray(scaled.transpose(0, 3, 1, 2)))
