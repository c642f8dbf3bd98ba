import pytest

from labwright.shards.listing import group_by_split


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (["train-000001.tar", "train-000000.tar", "val-000000.tar"], ["train", "val"]),
        (["imagenet-val-00.tar", "imagenet-train-00.tar"], ["train", "val"]),
        (["cifar10_test_0.tar", "cifar10_train_0.tar"], ["train", "test"]),
        (["00001.tar", "00000.tar"], ["train"]),
        (["birds-0.tar", "birds-1.tar"], ["train"]),
        (["birds-0.tar", "cats-0.tar"], ["birds", "cats"]),
        (["train/0.tar", "val/0.tar", "holdout/0.tar"], ["train", "val", "holdout"]),
        (["training.tar", "testing.tar"], ["training", "testing"]),
        (["a b!-0.tar", "c-0.tar"], ["a_b", "c"]),
    ],
)
def test_split_is_told_by_the_name(names: list[str], splits: list[str]) -> None:
    grouped = group_by_split(names)
    assert list(grouped) == splits
    assert sorted(name for group in grouped.values() for name in group) == sorted(names)
    assert all(list(group) == sorted(group) for group in grouped.values())
