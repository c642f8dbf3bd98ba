import math

import pytest
import torch

from labwright.metrics import WeightedMean


def test_the_short_last_batch_counts_by_its_size() -> None:
    """T: epoch metrics were unweighted means over batches, so that the short last batch counted too much."""
    loss = WeightedMean()
    loss.update({"loss": torch.tensor(1.0)}, {}, weight=64)
    loss.update({"loss": torch.tensor(5.0)}, {}, weight=1)
    assert loss.compute() == pytest.approx((64 * 1.0 + 5.0) / 65)


def test_the_mean_does_not_depend_on_how_the_samples_are_batched() -> None:
    values = torch.rand(1000, dtype=torch.float64)

    def mean(batch_size: int) -> float:
        metric = WeightedMean()
        for batch in values.split(batch_size):
            metric.add(batch.mean(), len(batch))
        return metric.compute()

    assert mean(7) == pytest.approx(values.mean().item(), rel=1e-12)
    assert mean(1000) == pytest.approx(mean(7), rel=1e-12)


def test_small_values_are_not_lost_in_a_long_epoch() -> None:
    metric = WeightedMean()
    metric.add(torch.tensor(1.0), 2**25)
    for _ in range(1000):
        metric.add(torch.tensor(1.0), 1)  # in single precision the sum would stay at 2**25
    assert metric.compute() == 1.0


def test_sums_and_means_add_up() -> None:
    metric = WeightedMean()
    metric.add_sum(torch.tensor(3), 4)
    metric.add(torch.tensor(0.5), 6)
    assert metric.compute() == pytest.approx(0.6)


def test_nothing_gives_nan() -> None:
    assert math.isnan(WeightedMean().compute())


def test_the_graph_is_let_go() -> None:
    metric = WeightedMean()
    value = torch.ones(1, requires_grad=True, device="meta").mean()
    metric.add(value, 1)
    assert isinstance(metric._total, torch.Tensor) and not metric._total.requires_grad


def test_a_metric_begun_under_inference_mode_goes_on_outside() -> None:
    metric = WeightedMean()
    with torch.inference_mode():
        metric.add(torch.tensor(1.0), 1)
    metric.add(torch.tensor(3.0), 1)
    assert metric.compute() == 2.0


def test_nan_is_not_hidden() -> None:
    metric = WeightedMean()
    metric.add(torch.tensor(math.nan), 1)
    metric.add(torch.tensor(1.0), 1)
    assert math.isnan(metric.compute())
