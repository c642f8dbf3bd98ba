import time
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from labwright.datasets.args import ShapesDataArgs
from labwright.datasets.overlap import check_overlap
from labwright.datasets.shapes import CLASS_NAMES


def test_every_pixel_has_a_class_and_every_image_a_shape(tmp_path: Path) -> None:
    splits = ShapesDataArgs(num_samples=300).build(tmp_path)
    train: Any = splits.train["train"]
    batch = train.__getitems__(list(range(len(train))))

    assert (splits.task, splits.num_outputs, splits.class_names) == ("segmentation", 4, CLASS_NAMES)
    assert splits.input_shape == (1, 32, 32)
    assert (batch["target"].dtype, batch["target"].shape[1:]) == (torch.int64, (32, 32))
    assert batch["target"].flatten(1).any(dim=1).all()
    shares = torch.bincount(batch["target"].flatten(), minlength=4) / batch["target"].numel()
    assert 0.75 < shares[0] < 0.95 and shares[1:].min() > 0.02
    assert abs(batch["input"].mean()) < 0.05 and abs(batch["input"].std() - 1) < 0.05


def test_a_shape_has_one_grey_and_its_own_area(tmp_path: Path) -> None:
    data: Any = ShapesDataArgs(num_samples=400, val_fraction=0, test_fraction=0).build(tmp_path).train["train"]
    areas: dict[int, list[int]] = {1: [], 2: [], 3: []}
    for image, target in zip(data.inputs[:, 0], data.targets, strict=True):
        for shape in target[target > 0].unique().tolist():
            assert len(image[target == shape].unique()) == 1
            areas[shape].append(int((target == shape).sum()))
    # radius 4.5 to 7.7: a disc is pi, a square 2, a triangle 1.3 times its square
    assert 150 < max(areas[1]) < 190 and 90 < max(areas[2]) < 125 and 60 < max(areas[3]) < 85


def test_images_follow_from_their_seed_and_the_split_from_its_own(tmp_path: Path) -> None:
    first, again, other, split = (
        ShapesDataArgs(num_samples=60, data_seed=data_seed, split_seed=split_seed).build(tmp_path)
        for data_seed, split_seed in ((0, 0), (0, 0), (1, 0), (0, 1))
    )

    assert first.fingerprint == again.fingerprint == split.fingerprint != other.fingerprint
    sets: list[Any] = [each.train["train"] for each in (first, again, split)]
    assert torch.equal(sets[0].inputs, sets[1].inputs)
    assert sets[0].source_indices.tolist() != sets[2].source_indices.tolist()


def test_no_ground_is_in_two_splits(tmp_path: Path) -> None:
    assert check_overlap(ShapesDataArgs().build(tmp_path), "refuse") == []


def test_thousand_images_take_seconds_at_most(tmp_path: Path) -> None:
    ShapesDataArgs(num_samples=10).build(tmp_path)  # scikit-learn is imported

    started = time.process_time()
    ShapesDataArgs(num_samples=1000).build(tmp_path)
    assert time.process_time() - started < 10  # a quarter of one, where nothing else is at work


def test_more_images_than_digits_are_refused() -> None:
    with pytest.raises(ValidationError):
        ShapesDataArgs(num_samples=1798)
