"""Images as vectors, and which of them are near each other. Each function works alone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from labwright.datasets import Dataset, Splits
from labwright.models import ModelArgs
from labwright.runs import resolve_checkpoint

Floats = NDArray[np.float32]
Embedding = Callable[[Floats], Floats]
"""From images `[n, channels, height, width]` to vectors `[n, size]`."""


class Samples(NamedTuple):
    """Images and their labels."""

    inputs: Floats
    targets: NDArray[np.int64]


class Neighbours(NamedTuple):
    """Positions and distances of the nearest references, `[queries, k]`, nearest first."""

    positions: NDArray[np.int64]
    distances: Floats


def whole(dataset: Dataset) -> Samples:
    """All samples of a dataset at once."""
    data: Any = dataset
    batch = data.__getitems__(list(range(len(data))))
    return Samples(batch["input"].numpy(), batch["target"].numpy())


def flatten(images: Floats) -> Floats:
    """The pixels of each image in a row."""
    return images.reshape(len(images), -1)


def fit_pca(images: Floats, num_components: int) -> Embedding:
    """Projects images on the principal components of these ones; there are at most as many as pixels or images."""
    rows = flatten(images)
    mean = rows.mean(axis=0)
    components = np.linalg.svd(rows - mean, full_matrices=False)[2][:num_components]
    return lambda images: (flatten(images) - mean) @ components.T


def load_features(args: ModelArgs, splits: Splits, start: str | dict[str, str] | None) -> Embedding:
    """What the `body` of a trained model says of images."""
    import torch

    from labwright.train import load_from_checkpoint

    model: Any = args.build(splits.input_shape, splits.num_outputs)
    if start is not None:
        load_from_checkpoint(model, start, lambda text: resolve_checkpoint(Path(text)))
    model.eval()

    def features(images: Floats) -> Floats:
        with torch.inference_mode():
            return model.body(torch.from_numpy(images)).numpy()

    return features


def nearest(queries: Floats, references: Floats, k: int, distance: str, *, skip_self: bool = False) -> Neighbours:
    """The `k` references nearest to each query; `skip_self`: they are the same vectors, none its own neighbour."""
    if distance == "cosine":
        queries, references = (
            each / np.maximum(np.linalg.norm(each, axis=1, keepdims=True), 1e-12) for each in (queries, references)
        )
        distances = 1 - queries @ references.T
    else:
        squares = (queries**2).sum(axis=1)[:, None] + (references**2).sum(axis=1)
        distances = np.sqrt(np.maximum(squares - 2 * queries @ references.T, 0))
    if skip_self:
        np.fill_diagonal(distances, np.inf)
    positions = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return Neighbours(positions, np.take_along_axis(distances, positions, axis=1))


def vote(labels: NDArray[np.int64], num_classes: int) -> NDArray[np.float64]:
    """The share of each class among the labels `[queries, k]` of neighbours; in a tie the nearer lead by a hair."""
    k = labels.shape[1]
    weights = 1 + 1e-3 * 0.5 ** np.arange(k)
    shares = np.zeros((len(labels), num_classes))
    np.add.at(shares, (np.arange(len(labels))[:, None], labels), weights / weights.sum())
    return shares
