"""Training batches as `--augment` changes them: by seed, epoch and sample, whatever batch, rank or interruption."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from labwright import Hook
from labwright.args import RunOptions, UserError
from labwright.args.errors import Terminated
from labwright.datasets import AugmentArgs, DiabetesDataArgs, ShapesDataArgs, get_sample, map_dataset
from labwright.session.augmenting import build_augmentation
from labwright.train import Batch

from . import augmented_lab
from .augmented_lab import ALL, Augmented, AugmentedArgs

pytestmark = pytest.mark.usefixtures("no_pictures")
Run = Callable[..., Any]
UNMIXED = ALL.model_copy(update={"mixup_alpha": 0.0, "cutmix_alpha": 0.0})


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return lambda **args: augmented_lab.run(tmp_path, **args)


def same(one: dict[Any, tuple[Tensor, Tensor]], other: dict[Any, tuple[Tensor, Tensor]]) -> bool:
    return one.keys() == other.keys() and all(
        left.equal(right) for key in one for left, right in zip(one[key], other[key], strict=True)
    )


def of_split(seen: dict[Any, Any], split: str) -> dict[Any, Any]:
    return {key: value for key, value in seen.items() if key[0] == split}


def test_training_images_are_changed_and_no_others(run: Run) -> None:
    plain, changed = (run(augment=augment)[0].seen for augment in (AugmentArgs(), UNMIXED))
    assert same(of_split(plain, "val"), of_split(changed, "val"))
    differing = [not plain[key][0].equal(changed[key][0]) for key in of_split(plain, "train")]
    assert sum(differing) > 130
    assert all(plain[key][1].equal(changed[key][1]) for key in plain), "targets stay"


def test_a_sample_is_changed_alike_whatever_its_batch_and_otherwise_in_another_epoch(run: Run) -> None:
    whole = run(augment=UNMIXED, epochs=2)[0].seen
    assert same(whole, run(augment=UNMIXED, epochs=2, batch_size=13)[0].seen)
    first, second = ([whole["train", epoch, index][0] for index in range(144)] for epoch in (1, 2))
    assert sum(not one.equal(other) for one, other in zip(first, second, strict=True)) > 130


@pytest.mark.slow
def test_a_window_of_small_batches_is_one_batch(run: Run) -> None:
    (whole, one), (parts, other) = run(), run(batch_size=8, accumulate_batches=4)
    assert same(of_split(whole.seen, "train"), of_split(parts.seen, "train"))
    weights = [load_file(result.run_dir / "model.safetensors") for result in (one, other)]
    assert all(torch.allclose(weights[0][name], weights[1][name], atol=1e-9) for name in weights[0])


def test_pairs_are_mixed_with_soft_targets_and_accuracy_is_of_the_larger_share(run: Run) -> None:
    """The history's accuracy is that of the class with the larger share, and not none at all."""
    experiment, result = run()
    targets = torch.stack([target for _, target in of_split(experiment.seen, "train").values()])
    assert targets.shape == (144, 10) and torch.allclose(targets.sum(1), torch.ones(144))
    assert ((targets > 0).sum(1) == 2).sum() > 90
    assert all(target.ndim == 0 for _, target in of_split(experiment.seen, "val").values())
    rows = [json.loads(line) for line in (result.run_dir / "history.jsonl").read_text().splitlines()]
    assert 0 < rows[0]["metrics"]["accuracy"] < 1


def test_equal_positions_in_two_sources_draw_numbers_of_their_own(run: Run, tmp_path: Path) -> None:
    experiment = Augmented(AugmentedArgs(), augmented_lab.MachineConfig(results_dir=tmp_path, use_cuda=False))
    experiment.device, experiment.dataset_name, experiment.epoch = torch.device("cpu"), "train", 1

    def uniform(source: list[str]) -> Tensor:
        return experiment.draws_for({"index": torch.tensor([3, 3]), "source": source}).uniform("x")

    both = uniform(["one", "other"])
    assert not both[0].equal(both[1])
    assert both[0].equal(uniform(["one", "one"])[0]) and both[1].equal(uniform(["other", "other"])[1])
    without = experiment.draws_for({"index": [3, 3]}).uniform("x")
    assert without.equal(uniform(["train", "train"]))
    with pytest.raises(UserError, match="`index`, which the batches of this loader lack"):
        experiment.draws_for({"input": torch.zeros(2)})


@pytest.mark.slow
def test_a_run_that_is_stopped_within_an_epoch_goes_on_to_the_bit(run: Run, tmp_path: Path) -> None:
    class StopsAt(Hook[Any]):
        def on_batch_end(self, loop: Any) -> None:
            if loop.is_training and loop.position.step == 7:
                os.kill(os.getpid(), signal.SIGTERM)

    class Stopped(Augmented):
        def build_hooks(self) -> list[Hook[Any]]:
            return [] if self.options.resume else [StopsAt()]

    straight, whole = run(epochs=3)
    machine = augmented_lab.MachineConfig(results_dir=tmp_path / "stopped", use_cuda=False)
    begun = Stopped(AugmentedArgs(epochs=3), machine)
    with pytest.raises(Terminated):
        begun.run(RunOptions(predictions="none", snapshot=False))
    resumed = Stopped(AugmentedArgs(epochs=3), machine)
    folder = next((tmp_path / "stopped").glob("*/*"))
    result = resumed.run(RunOptions(predictions="none", snapshot=False, resume=str(folder)))
    assert same(of_split(begun.seen | resumed.seen, "train"), of_split(straight.seen, "train"))
    weights = [load_file(each.run_dir / "model.safetensors") for each in (whole, result)]
    assert all(weights[0][name].equal(weights[1][name]) for name in weights[0])


@pytest.mark.slow
def test_two_ranks_train_what_one_process_trains(run: Run, tmp_path: Path) -> None:
    """Mixed pairs too: 16 samples are an even number, and so is the rest of 16 that two ranks share."""
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone")
    command = [*torchrun, str(Path(augmented_lab.__file__)), str(tmp_path / "two")]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    expected = load_file(run()[1].run_dir / "model.safetensors")
    weights = load_file(next((tmp_path / "two").glob("*/*/model.safetensors")))
    assert all(torch.allclose(weights[name], expected[name], atol=1e-9) for name in expected)


def test_masks_move_with_their_images(run: Run, tmp_path: Path) -> None:
    class Pixels(Augmented):
        def build_model(self) -> Any:
            return torch.nn.Conv2d(1, 4, 1).double()

        def compute_loss(self, batch: Batch) -> Any:
            both = (batch["input"].clone(), batch["target"].clone())
            for index, image, target in zip(batch["index"].tolist(), *both, strict=True):
                self.seen[self.dataset_name, self.epoch, index] = (image, target)
            logits = self.forward(batch | {"input": batch["input"].double()})
            value = torch.nn.functional.cross_entropy(logits, batch["target"])
            return augmented_lab.Loss(value, {"logits": logits}, len(both[0]))

    augment = AugmentArgs(crop_padding=3, horizontal_flip=True, vertical_flip=True, brightness=0.2, mask_fill=3)
    args = AugmentedArgs(dataset=ShapesDataArgs(num_samples=60), augment=augment)
    experiment = Pixels(args, augmented_lab.MachineConfig(results_dir=tmp_path, use_cuda=False))
    experiment.run(RunOptions(predictions="none", snapshot=False))
    dataset: Any = experiment.splits.train["train"]
    moves = 0
    for (_, _, index), (image, mask) in of_split(experiment.seen, "train").items():
        sample = get_sample(dataset, index)
        assert mask.dtype == torch.int64 and set(mask.unique().tolist()) <= {0, 1, 2, 3}
        found = _moves(sample["target"], mask)
        assert found, "the mask is the sample's own, moved"
        moves += not mask.equal(sample["target"])
        assert image.shape == sample["input"].shape
    assert moves > 20


def _moves(mask: Tensor, moved: Tensor) -> list[Tensor]:
    """All moves by up to 3 pixels and reflections that make `moved` of `mask`."""
    padded = torch.nn.functional.pad(mask, (3, 3, 3, 3), value=3)
    height, width = mask.shape
    crops = [padded[y : y + height, x : x + width] for y in range(7) for x in range(7)]
    return [each for crop in crops for each in (crop, crop.flip(0), crop.flip(1), crop.flip(0, 1)) if each.equal(moved)]


def built(tmp_path: Path, kind: type[Augmented] = Augmented, **augment: Any) -> Augmented:
    """An experiment whose parts are built, and that is not run."""
    args = AugmentedArgs(epochs=1, augment=AugmentArgs(**augment))
    experiment = kind(args, augmented_lab.MachineConfig(results_dir=tmp_path, use_cuda=False))
    experiment.splits = experiment.build_datasets()
    experiment.augmentation = build_augmentation(cast(Any, experiment))
    return experiment


def test_black_and_white_are_those_of_what_is_stored(tmp_path: Path) -> None:
    experiment = built(tmp_path, brightness=0.1)
    dataset: Any = experiment.splits.train["train"]
    inputs = dataset.__getitems__(range(len(dataset)))["input"]
    assert experiment.augmentation is not None and experiment.augmentation.levels is not None
    (black,), (white,) = experiment.augmentation.levels
    assert black == pytest.approx(float(inputs.min())) and white == pytest.approx(float(inputs.max()))


def test_black_and_white_that_are_not_known_have_to_be_said(tmp_path: Path) -> None:
    class Faint(Augmented):
        def build_datasets(self) -> Any:
            splits = super().build_datasets()
            faint = {name: map_dataset(dataset, lambda batch: batch) for name, dataset in splits.train.items()}
            return replace(splits, train=faint)

    with pytest.raises(UserError, match='say it with --augment.value_range, for example "\\[0, 1\\]"'):
        built(tmp_path, Faint, brightness=0.1)
    said = built(tmp_path, Faint, brightness=0.1, value_range=(-1, 2)).augmentation
    assert said is not None and said.levels == (-1, 2)
    assert built(tmp_path, Faint, horizontal_flip=True).augmentation is not None


class Changed(Augmented):
    """With splits as a test wants them."""

    changes: dict[str, Any]

    def build_datasets(self) -> Any:
        splits = super().build_datasets()
        num_channels = self.changes.pop("num_channels", 1)
        for dataset in splits.train.values():
            if num_channels > 1:
                dataset.inputs = dataset.inputs.repeat(1, num_channels, 1, 1)
        return replace(splits, **self.changes)


@pytest.mark.parametrize(
    ("augment", "dataset", "changes", "message"),
    [
        ({"horizontal_flip": True}, DiabetesDataArgs(), {}, r"changes images .*; the inputs of .* are \[10\]"),
        ({"hue": 0.1}, None, {}, "--augment.hue changes colours, and the images of .* are grey"),
        ({"brightness": 0.1}, None, {"num_channels": 2}, "coloured images; .* has 2 channels"),
        ({"mixup_alpha": 0.1}, None, {"task": None}, "mix classes; .* is data without a task"),
        ({"cutmix_alpha": 1}, None, {"task": "regression"}, "mix classes; .* is a regression"),
        ({"mixup_alpha": 1}, None, {"num_outputs": 1}, "mix classes; .* is a classification with 1 outputs"),
        ({"mixup_alpha": 1}, ShapesDataArgs(num_samples=30), {}, "mix classes; .* is a segmentation"),
        ({"crop_padding": 9}, None, {}, "crop_padding=9 would move images of .* out of sight: they are 8 x 8"),
        (
            {"vertical_flip": True, "mask_fill": 9},
            ShapesDataArgs(num_samples=30),
            {},
            "mask_fill=9 is no class of .*, which has 0 to 3",
        ),
        ({"torchvision": "augmix"}, ShapesDataArgs(num_samples=30), {}, "augmix (would move|needs torchvision)"),
        (
            {"vertical_flip": True},
            None,
            {"task": "segmentation"},
            r"moves masks .*; those of train are \[\]",
        ),
        ({"vertical_flip": True}, ShapesDataArgs(num_samples=30), {"task": "regression"}, r"targets of train are \[32"),
    ],
)
def test_what_does_not_fit_the_data_is_refused(
    tmp_path: Path, augment: dict[str, Any], dataset: Any, changes: dict[str, Any], message: str
) -> None:
    given = {} if dataset is None else {"dataset": dataset}
    machine = augmented_lab.MachineConfig(results_dir=tmp_path, use_cuda=False)
    experiment = Changed(AugmentedArgs(augment=AugmentArgs(**augment), **given), machine)
    experiment.changes = changes
    with pytest.raises(UserError, match=message):
        experiment.run()
    assert list(tmp_path.glob("*/*")) == []
