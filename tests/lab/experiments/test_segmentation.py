"""Shapes are found pixel by pixel."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lab.experiments.segmentation.args import SegmentationArgs
from lab.experiments.segmentation.experiment import Segmentation
from lab.models.args import UNetArgs
from labwright import MachineConfig
from labwright.datasets import ShapesDataArgs, get_sample


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Any]:
    def make(**fields: Any) -> Segmentation:
        quick = {"epochs": 1, "model": UNetArgs(channels=[4, 8]), "dataset": ShapesDataArgs(num_samples=100)}
        machine = MachineConfig(results_dir=tmp_path / "results", use_cuda=False)
        return Segmentation(SegmentationArgs(**quick | fields), machine)

    return make


def test_debug_run_lays_masks_over_images(command_line: Callable[..., Any]) -> None:
    ended = command_line("--experiment_id=segmentation", "--debug", "--use_cuda=false")
    assert (ended.run / "masks_test.png").is_file()
    assert ended.test.keys() == {"loss", "dice", "iou"}
    assert ended.record["result"]["best_metric"] == "val/dice"


@pytest.mark.slow
def test_shapes_are_found(make: Callable[..., Any]) -> None:
    dataset = ShapesDataArgs(num_samples=600, image_size=24)
    metrics = {"segmentation": ["dice", "pixel_accuracy"]}
    result = make(epochs=8, model=UNetArgs(channels=[8, 16, 32]), dataset=dataset, metrics=metrics).run()
    assert result.test["dice"] > 0.4 and result.test["pixel_accuracy"] > 0.85


def test_masks_are_kept_and_the_table_says_how_wrong_they_are(make: Callable[..., Any]) -> None:
    experiment = make()
    result = experiment.run()
    masks = np.load(result.run_dir / "artifacts" / "masks_test.npy")
    with (result.run_dir / "predictions" / "test.csv").open() as file:
        rows = list(csv.DictReader(file))
    test: Any = experiment.splits.test["test"]
    wrong = (masks != test.targets.numpy()).mean(axis=(1, 2))
    assert masks.shape == (20, 32, 32) and masks.dtype == np.uint8
    assert [float(row["wrong"]) for row in rows] == pytest.approx(wrong)


def test_pictures_of_ones_own_get_masks(
    command_line: Callable[..., Any], make: Callable[..., Any], tmp_path: Path
) -> None:
    Image.new("L", (50, 50), "white").save(tmp_path / "white.png")
    trained = make().run().run_dir
    words = ("--mode=predict", f"--predict_input={tmp_path / 'white.png'}", f"--from_checkpoint={trained}")
    ended = command_line(f"--config={trained / 'args.yaml'}", *words, "--use_cuda=false")
    assert np.load(ended.run / "artifacts" / "masks_inputs.npy").shape == (1, 32, 32)


def test_training_images_are_mirrored_together_with_their_masks(make: Callable[..., Any]) -> None:
    experiment, seen = make(), {}
    prepare = experiment.prepare_batch

    def watched(batch: Any, *, training: bool) -> Any:
        batch = prepare(batch, training=training)
        if training:
            seen.update(zip(batch["index"].tolist(), zip(batch["input"], batch["target"], strict=True), strict=True))
        return batch

    experiment.prepare_batch = watched
    experiment.run()
    kinds: set[tuple[int, ...]] = set()
    for index, (image, mask) in seen.items():
        sample = get_sample(experiment.splits.train["train"], index)
        for turned in ((), (-1,), (-2,), (-2, -1)):
            if image.equal(sample["input"].flip(turned)):
                kinds.add(turned)
                assert mask.equal(sample["target"].flip(turned))
                break
        else:
            raise AssertionError("neither as it is, nor mirrored")
    assert len(seen) == 70 and len(kinds) == 4
