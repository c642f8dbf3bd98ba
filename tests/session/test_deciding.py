"""Which metric decides: of one set, a mean over sets, never of a set for demonstration."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from labwright.args import UserError
from labwright.session import deciding_value


@pytest.fixture
def scripted(make: Callable[..., Any], points: Any) -> Callable[..., Any]:
    """A run over three epochs with two validation sets whose losses are given."""

    def run(a: list[float], b: list[float], demo_only: tuple[str, ...] = (), **fields: Any) -> Any:
        class Scripted(points):
            def build_datasets(self) -> Any:
                splits = super().build_datasets()
                val = splits.val["val"]
                sets = {"a": val.subset(range(10)), "b": val.subset(range(10, 20))}
                return replace(splits, val=sets, demo_only=demo_only)

            def eval_batch(self, batch: Any) -> Any:
                losses = {"a": a, "b": b}.get(self.dataset_name, [0.0] * 3)
                return super().eval_batch(batch)._replace(value=torch.tensor(losses[self.epoch - 1]))

        return make(Scripted, epochs=3, **fields).run()

    return run


@pytest.mark.parametrize(
    ("name", "full", "best_epoch"),
    [
        ("a/loss", "a/loss", 3),
        ("b/loss", "b/loss", 1),
        ("mean/loss", "mean/loss", 2),
        ("a+b/loss", "a+b/loss", 2),
        ("loss", "mean/loss", 2),  # no set is called val
    ],
)
def test_best_epoch_is_that_of_the_sets_named(
    scripted: Callable[..., Any], name: str, full: str, best_epoch: int
) -> None:
    """Elsewhere the best model was kept only if every set improved in the same epoch."""
    result = scripted([5.0, 2.0, 1.0], [1.0, 2.0, 5.0], best_model_metric=name)
    assert (result.best_metric, result.best_epoch) == (full, best_epoch)
    assert result.val.keys() == {"a/loss", "a/accuracy", "b/loss", "b/accuracy"}


def test_set_for_demonstration_is_recorded_and_never_decides(scripted: Callable[..., Any]) -> None:
    result = scripted([1.0, 2.0, 3.0], [3.0, 2.0, 1.0], demo_only=("b",))
    assert result.best_epoch == 1 and result.val["b/loss"] == 3.0


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("b/loss", "b is for demonstration only"),
        ("a+b/loss", "b is for demonstration only"),
        ("c/loss", "known: a/loss, a/accuracy, train/loss, train/accuracy"),
        ("a+c/loss", "known: a/loss"),
        ("mean/acuracy", "known: a/loss"),
    ],
)
def test_what_may_not_decide_is_refused_before_the_run(scripted: Callable[..., Any], name: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        scripted([1.0] * 3, [1.0] * 3, demo_only=("b",), best_model_metric=name)


def test_set_that_was_not_passed_over_leaves_nothing_to_decide(make: Callable[..., Any]) -> None:
    experiment = make()
    splits = experiment.build_datasets()
    assert deciding_value("val/loss", {"train": {"loss": 1.0}}, splits) is None
    assert deciding_value("mean/loss", {"val": {"loss": 2.0}}, splits) == 2.0
