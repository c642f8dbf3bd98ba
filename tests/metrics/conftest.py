"""A pass over a split, in any batches, and real predictions: scikit-learn's digits by the nearest class mean."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from labwright.metrics import Metric, MetricSet, build_metrics
from labwright.train import Loss

Measure = Callable[..., dict[str, float]]


def pass_over(
    metrics: Sequence[Metric], outputs: Mapping[str, Tensor], batch: Mapping[str, Any], sizes: Sequence[int]
) -> dict[str, float]:
    """What `metrics` say after batches of `sizes`, and of the last of these from then on."""
    meter = MetricSet(metrics)
    num_samples, start = len(next(iter(outputs.values()))), 0
    for size in (*sizes, *[sizes[-1]] * num_samples):
        if start >= num_samples:
            break
        place = slice(start, start + size)
        parts = {key: value[place] for key, value in outputs.items()}
        meter.update(Loss(torch.tensor(1.0), parts, size), {key: value[place] for key, value in batch.items()})
        start += size
    values = meter.compute()
    del values["loss"]
    return values


@pytest.fixture(scope="session")
def measure() -> Measure:
    """`measure({group: names}, outputs, target, sizes=[7], num_outputs=1, ...)`: the metrics over all batches."""

    def of(
        chosen: Mapping[str, Sequence[str]],
        outputs: Mapping[str, Tensor],
        target: Tensor | None = None,
        *,
        sizes: Sequence[int] = (7,),
        batch: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> dict[str, float]:
        batch = dict(batch or {}) if target is None else {**(batch or {}), "target": target}
        return pass_over(build_metrics(chosen, **{"num_outputs": 1, **settings}), outputs, batch, sizes)

    return of


@pytest.fixture(scope="session")
def digits() -> tuple[Tensor, Tensor]:
    """Logits [n, 10] and labels [n] of images that the class means did not see."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    images, labels = torch.tensor(images, dtype=torch.float32), torch.tensor(labels)
    means = torch.stack([images[:300][labels[:300] == digit].mean(0) for digit in range(10)])
    return -torch.cdist(images[300:1100], means) / 2, labels[300:1100]
