"""Predictions of a classifier outside PyTorch, from the probabilities it gives."""

import numpy as np

from labwright.datasets import Dataset
from labwright.session import Predictions


def class_predictions(dataset: Dataset, targets: np.ndarray, probability: np.ndarray) -> Predictions:
    """The columns that tables and pictures of a classifier need; `probability` is `[samples, classes]`."""
    columns = {
        "index": np.arange(len(targets)),
        "target": targets,
        "prediction": probability.argmax(axis=1),
        "confidence": probability.max(axis=1),
        "probability": probability,
    }
    return Predictions(dataset, columns)
