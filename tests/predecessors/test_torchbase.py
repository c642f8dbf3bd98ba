"""What torchbase has and what was seen to break in it. AUC over the split: tests/metrics; best sets: test_deciding."""

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from labwright.args import RunOptions, UserError
from labwright.datasets import DigitsDataArgs
from labwright.loop import NestedLoop
from labwright.train import RoutedForward, restore_state

pytestmark = pytest.mark.usefixtures("no_pictures")
QUIETLY = RunOptions(predictions="none")


@pytest.fixture
def routed(points: Any) -> Any:
    """An experiment whose forward gives a dict, and whose loss asks for keys by name."""

    class Routed(RoutedForward, points):
        def forward(self, batch: Any) -> dict[str, torch.Tensor]:
            logits = self.model(batch["input"])
            return {"logits": logits, "penalty": logits.square().mean()}

        def criterion(self, logits: torch.Tensor, target: torch.Tensor, penalty: torch.Tensor) -> torch.Tensor:
            return F.cross_entropy(logits, target) + 1e-3 * penalty

    return Routed


def test_loss_receives_the_keys_of_forward_and_batch_that_match_its_arguments(
    make: Callable[..., Any], routed: Any
) -> None:
    result = make(routed).run()
    assert result.test.keys() == {"loss", "accuracy"} and "test" in result.predictions


def test_key_that_is_missing_is_one_clear_line(make: Callable[..., Any], routed: Any) -> None:
    class Mistyped(routed):
        def criterion(self, logit: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
            return F.cross_entropy(logit, target)

    with pytest.raises(UserError, match="criterion asks for 'logit'.*'logits'.*did you mean 'logits'") as refused:
        make(Mistyped).run()
    assert "\n" not in str(refused.value)


def test_metrics_are_routed_by_the_configuration(make: Callable[..., Any], routed: Any) -> None:
    class Scored(routed):
        def forward(self, batch: Any) -> dict[str, torch.Tensor]:
            outputs = super().forward(batch)
            return {**outputs, "score": outputs["logits"].softmax(-1)[:, 1]}

    fields = {"metrics": {"binary_classification": ["roc_auc"]}, "metric_inputs": {"preds": "score"}}
    assert 0 <= make(Scored, **fields).run(QUIETLY).test["roc_auc"] <= 1
    with pytest.raises(UserError, match="nothing.*logits"):
        make(Scored, **{**fields, "metric_inputs": {"preds": "nothing"}}).run(QUIETLY)


def test_random_state_is_saved_with_every_checkpoint(make: Callable[..., Any], points: Any) -> None:
    """It was saved only at the start."""

    class Drawing(points):
        def on_epoch_end(self) -> None:
            torch.rand(3)

    states = [
        restore_state(make(Drawing, epochs=epochs, white_noise_sd=0.1).run(QUIETLY).checkpoints["last"])["rng"]["torch"]
        for epochs in (1, 2)
    ]
    assert not torch.equal(*states)


def test_loop_continues_where_its_epoch_counter_stands() -> None:
    """Resuming started the counter at zero."""

    class Counting(NestedLoop):
        num_epochs = 5

        def datasets(self) -> dict[str, list[int]]:
            return {}

    loop = Counting()
    loop.epoch = 3
    loop.run_loop()
    assert list(loop.experiment_metrics) == [4, 5]


def test_splits_do_not_depend_on_the_state_of_a_generator(tmp_path: Any) -> None:
    """`random.shuffle` was unseeded."""

    def targets(seed: int) -> list[int]:
        random.seed(seed)
        torch.manual_seed(seed)
        dataset: Any = DigitsDataArgs().build(tmp_path).val["val"]
        return dataset.targets.tolist()

    assert targets(1) == targets(2)
