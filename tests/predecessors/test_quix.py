"""What quix's batch processor has and what was seen to break in it, asked of whole runs; the parts: tests/train."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from labwright.args import RunOptions, parse
from labwright.optimizers import AdamArgs
from labwright.runs import CheckpointStore
from labwright.schedulers import OneCycleArgs
from labwright.train import NonFiniteLoss, restore_state

from ..session.test_resume import assert_same_run, resume, stop_at

pytestmark = pytest.mark.usefixtures("no_pictures")
QUIETLY = RunOptions(predictions="none")


def raw(result: Any) -> dict[str, torch.Tensor]:
    return restore_state(result.checkpoints["last"])["model"]


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("text", ["false", "0", "no"])
def test_boolean_flag_is_false_when_it_says_so(text: str) -> None:
    """Every boolean flag was True for any text."""
    assert parse(RunOptions, [f"--quiet={text}"]).quiet is False


@pytest.mark.parametrize("clipping", [{"gradient_clipping": 1e-3}, {"gradient_clipping_value": 1e-4}])
def test_clipping_works_without_mixed_precision(make: Callable[..., Any], clipping: dict[str, float]) -> None:
    """It did nothing without AMP."""
    assert not equal(raw(make().run(QUIETLY)), raw(make(**clipping).run(QUIETLY)))


def test_accumulated_batches_are_averaged_as_one_large_batch(make: Callable[..., Any]) -> None:
    """They were summed, and leftovers leaked into the next epoch: 60 samples make windows of 32 and 28."""
    large = raw(make(batch_size=32).run(QUIETLY))
    small = raw(make(batch_size=8, accumulate_batches=4).run(QUIETLY))
    for name, tensor in large.items():
        torch.testing.assert_close(small[name], tensor, rtol=1e-5, atol=1e-6)


def test_average_of_weights_needs_no_second_process(make: Callable[..., Any]) -> None:
    """EMA existed only under DDP."""
    averaged = make(ema_decay=0.9)
    with_average = averaged.run(QUIETLY)
    plain = make(ema_decay=0.9, use_ema_weights=False).run(QUIETLY)
    assert equal(raw(with_average), raw(plain))
    assert with_average.val["loss"] != plain.val["loss"]


def test_returned_model_is_the_average_that_was_validated(make: Callable[..., Any]) -> None:
    from labwright.train import load_weights

    result = make(ema_decay=0.9, epochs=3).run(QUIETLY)
    state = restore_state(result.checkpoints["best"])
    averages = state["stepper"]["optimizers"][0]["ema"]["averages"]
    returned = load_weights(result.run_dir / "model.safetensors")
    assert all(torch.equal(returned[name], tensor) for name, tensor in averages.items())


def test_device_flag_is_obeyed(make: Callable[..., Any]) -> None:
    """It was ignored."""
    experiment = make()
    experiment.run(QUIETLY)
    assert experiment.device.type == "cpu" and {p.device.type for p in experiment.model.parameters()} == {"cpu"}


def test_warm_up_longer_than_the_run_divides_by_nothing(make: Callable[..., Any]) -> None:
    """It divided by zero."""
    from labwright.schedulers import CosineArgs

    result = make(scheduler=CosineArgs(warmup_epochs=50), ema_decay=0.9, ema_warmup_steps=1000).run(QUIETLY)
    assert result.epochs == 2 and all(tensor.isfinite().all() for tensor in raw(result).values())


def spoiled_at(points: Any, *steps: int) -> Any:
    """The experiment with a loss that is no number at some steps."""

    class Spoiled(points):
        def compute_loss(self, batch: Any) -> Any:
            loss = super().compute_loss(batch)
            is_bad = self.model.training and self.position.step + 1 in steps
            return loss._replace(value=loss.value * torch.nan) if is_bad else loss

    return Spoiled


def test_bad_steps_are_skipped_up_to_as_many_in_a_row_as_allowed(make: Callable[..., Any], points: Any) -> None:
    Twice = spoiled_at(points, 2, 3)
    with pytest.raises(NonFiniteLoss, match="step 2"):
        make(Twice, batch_size=10).run(QUIETLY)
    with pytest.raises(NonFiniteLoss, match="step 3"):
        make(Twice, batch_size=10, max_skipped_steps=1).run(QUIETLY)
    experiment = make(Twice, batch_size=10, max_skipped_steps=2)
    result = experiment.run(QUIETLY)
    assert result.epochs == 2 and experiment.stepper.num_skipped == 2
    assert all(tensor.isfinite().all() for tensor in raw(result).values())


def test_bad_steps_in_a_row_are_counted_across_a_resume(make: Callable[..., Any], points: Any) -> None:
    """A run that is stopped often would else go on through NaN for ever."""
    fields = {"batch_size": 10, "max_skipped_steps": 2}
    run = stop_at(make(spoiled_at(points, 2, 3), **fields), 2)
    again = make(spoiled_at(points, 2, 3), **fields)
    assert resume(again, run).epochs == 2 and again.stepper.num_skipped == 2
    run = stop_at(make(spoiled_at(points, 2, 3, 4), **fields), 3)
    with pytest.raises(NonFiniteLoss, match="step 4"):
        resume(make(spoiled_at(points, 2, 3, 4), **fields), run)


@pytest.mark.parametrize("batch", [1, 3, 4, 8, 9])  # an epoch is 8 batches, in windows of 3, 3 and 2; one validates
def test_accumulated_gradients_are_neither_lost_nor_counted_twice_by_a_resume(
    make: Callable[..., Any], tmp_path: Path, batch: int
) -> None:
    """Leftovers leaked into the next epoch; the schedule of each step stays with the steps."""
    fields = {
        "batch_size": 8,
        "accumulate_batches": 3,
        "optimizer": AdamArgs(),
        "scheduler": OneCycleArgs(),
        "ema_decay": 0.9,
    }
    whole = make(**fields).run(QUIETLY).run_dir
    run = stop_at(make(**fields), batch)
    resume(make(**fields), run)
    assert_same_run(run, whole)


def test_checkpoints_roll_on_after_a_resume_and_testing_alone_gives_what_training_gave(
    make: Callable[..., Any],
) -> None:
    options = {"checkpoint_every_n_steps": 1, "keep_checkpoints": 3}
    run = stop_at(make(epochs=3, batch_size=12), 9, **options)
    result = resume(make(epochs=3, batch_size=12), run, **options)
    entries = CheckpointStore(run / "checkpoints").read_index()
    steps = sorted(int(path.stem.split("_")[1]) for path in (run / "checkpoints").glob("*.safetensors"))
    assert steps[-3:] == [13, 14, 15] and len(steps) == len({entry["file"] for entry in entries.values()}) <= 4
    tested = make(from_checkpoint=str(run), batch_size=12).run(RunOptions(only_test=True, predictions="none"))
    assert tested.test == result.test and tested.run_dir != run


def test_half_precision_trains_and_scales_its_loss(make: Callable[..., Any]) -> None:
    """The scaler was bypassed in backward, and a skipped step was detected the wrong way round."""
    experiment = make(precision="fp16", epochs=3)
    result = experiment.run(QUIETLY)
    assert all(tensor.dtype == torch.float32 and tensor.isfinite().all() for tensor in raw(result).values())
    state = restore_state(result.checkpoints["last"])["stepper"]["optimizers"][0]
    assert state["loss_scale"] is not None and state["num_steps"] == result.steps
    assert experiment.scheduler_interval == "epoch" and Path(result.run_dir).is_dir()
