"""What quix's batch processor has and what was seen to break in it, asked of whole runs; the parts: tests/train."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from labwright.args import RunOptions, parse
from labwright.train import restore_state

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


def test_bad_steps_are_skipped_up_to_as_many_in_a_row_as_allowed(make: Callable[..., Any], points: Any) -> None:
    from labwright.train import NonFiniteLoss

    class Spoiled(points):
        spoiled: tuple[int, ...] = ()
        count = 0

        def compute_loss(self, batch: Any) -> Any:
            loss = super().compute_loss(batch)
            if not self.model.training:
                return loss
            self.count += 1
            return loss._replace(value=loss.value * torch.nan) if self.count in self.spoiled else loss

    class Twice(Spoiled):
        spoiled = (2, 3)

    with pytest.raises(NonFiniteLoss, match="step 2"):
        make(Twice, batch_size=10).run(QUIETLY)
    with pytest.raises(NonFiniteLoss, match="step 3"):
        make(Twice, batch_size=10, max_skipped_steps=1).run(QUIETLY)
    experiment = make(Twice, batch_size=10, max_skipped_steps=2)
    result = experiment.run(QUIETLY)
    assert result.epochs == 2 and experiment.stepper.num_skipped == 2
    assert all(tensor.isfinite().all() for tensor in raw(result).values())


def test_half_precision_trains_and_scales_its_loss(make: Callable[..., Any]) -> None:
    """The scaler was bypassed in backward, and a skipped step was detected the wrong way round."""
    experiment = make(precision="fp16", epochs=3)
    result = experiment.run(QUIETLY)
    assert all(tensor.dtype == torch.float32 and tensor.isfinite().all() for tensor in raw(result).values())
    state = restore_state(result.checkpoints["last"])["stepper"]["optimizers"][0]
    assert state["loss_scale"] is not None and state["num_steps"] == result.steps
    assert experiment.scheduler_interval == "epoch" and Path(result.run_dir).is_dir()
