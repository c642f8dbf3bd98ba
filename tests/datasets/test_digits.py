from pathlib import Path

import torch

from labwright.datasets.args import DigitsDataArgs, MnistDataArgs


def test_digits_are_split_by_class(tmp_path: Path) -> None:
    splits = DigitsDataArgs(val_fraction=0.1, test_fraction=0.2).build(tmp_path)

    sizes = [len(part) for named in (splits.train, splits.val, splits.test) for part in named.values()]
    assert sizes == [1258, 180, 359]
    counts = torch.bincount(splits.test["test"].targets)
    assert counts.min() >= 34 and counts.max() <= 37
    assert (splits.name, splits.input_shape, splits.num_outputs) == ("scikit-learn digits", (1, 8, 8), 10)


def test_pixels_are_near_mean_zero_and_deviation_one(tmp_path: Path) -> None:
    for splits in (DigitsDataArgs().build(tmp_path), MnistDataArgs(source="digits").build(tmp_path)):
        batch = splits.train["train"].__getitems__(range(1258))
        assert abs(batch["input"].mean()) < 0.02
        assert abs(batch["input"].std() - 1) < 0.02


def test_digits_chosen_as_mnist_need_no_warning_but_say_their_name(tmp_path: Path) -> None:
    splits = MnistDataArgs(source="digits").build(tmp_path)

    assert splits.warnings == ()
    assert splits.name == "scikit-learn digits, upscaled to 28x28"
    assert splits.fingerprint != DigitsDataArgs().build(tmp_path).fingerprint


def test_no_test_set_when_its_fraction_is_zero(tmp_path: Path) -> None:
    splits = DigitsDataArgs(val_fraction=0, test_fraction=0).build(tmp_path)

    assert (splits.val, splits.test, len(splits.train["train"])) == ({}, {}, 1797)
