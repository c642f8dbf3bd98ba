"""What torchbase has and what was seen to break in it. AUC over the split: tests/metrics; best sets: test_deciding."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from labwright.args import RunOptions, UserError
from labwright.datasets import DigitsDataArgs
from labwright.loop import NestedLoop
from labwright.runs import open_run
from labwright.train import RoutedForward, restore_state

from ..session.test_resume import resume, stop_at

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


def test_random_numbers_of_a_resumed_run_are_those_that_were_due(make: Callable[..., Any], points: Any) -> None:
    """Resuming gave the ones of the start again."""

    class Drawing(points):
        def train_batch(self, batch: Any) -> Any:
            drawn.append((random.random(), float(np.random.rand()), torch.rand(()).item()))
            return super().train_batch(batch)

    drawn: list[tuple[float, ...]] = []
    make(Drawing, batch_size=20).run(QUIETLY)
    whole = drawn.copy()
    drawn.clear()
    resume(make(Drawing, batch_size=20), stop_at(make(Drawing, batch_size=20), 2))
    assert drawn == whole and len({*drawn}) == len(drawn) == 6


@pytest.mark.parametrize("batch", [2, 7], ids=["epoch 1", "epoch 2"])  # an epoch trains on 4 and validates on 2
def test_resumed_run_goes_on_in_its_epoch_and_at_its_place_in_the_data(
    make: Callable[..., Any], points: Any, batch: int
) -> None:
    """Resuming started the epoch counter and the data position at zero."""

    class Watched(points):
        def train_batch(self, batch: Any) -> Any:
            seen.append((self.epoch, batch["index"].tolist()))
            return super().train_batch(batch)

    seen: list[tuple[int, list[int]]] = []
    make(Watched, batch_size=15).run(QUIETLY)
    whole = seen.copy()
    seen.clear()
    run = stop_at(make(Watched, batch_size=15), batch)
    num_before = len(seen)
    resume(make(Watched, batch_size=15), run)
    assert seen == whole and 0 < num_before < len(whole) == 8
    rows = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    assert [(row["epoch"], row["step"]) for row in rows if row["split"] == "train"] == [(1, 4), (2, 8)]


def test_fresh_run_from_the_weights_of_another_starts_at_its_own_first_epoch(
    make: Callable[..., Any], tree: Callable[[Path], Any]
) -> None:
    first = make(epochs=3).run(QUIETLY).run_dir
    before = tree(first)
    second = make(from_checkpoint=str(first)).run(QUIETLY).run_dir
    assert second != first and tree(first) == before
    assert {row["epoch"] for row in open_run(second).history()} == {1, 2}


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
