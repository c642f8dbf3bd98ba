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
        (["birds-0.tar", "cats-0.tar", "mytest.tar"], ["train"]),
        (["birds-0.tar", "birds-val-0.tar"], ["train", "val"]),
        (["train/0.tar", "val/0.tar", "holdout/0.tar"], ["train", "val", "holdout"]),
        (["imagenet-training-0.tar", "Testing.tar", "dev2.tar"], ["train", "val", "test"]),
        (["train.tar", "dev.tar", "val.tar"], ["train", "val", "dev"]),
        (["train-0.tar", "a b!-0.tar", "c-0.tar"], ["train", "a_b", "c"]),
    ],
)
def test_split_is_told_by_the_name(names: list[str], splits: list[str]) -> None:
    grouped = group_by_split(names)
    assert list(grouped) == splits
    assert sorted(name for group in grouped.values() for name in group) == sorted(names)
    assert all(list(group) == sorted(group) for group in grouped.values())


def test_files_of_a_split_whose_index_is_there_are_told_by_it() -> None:
    names = ["small-000000.tar", "large-000000.tar", "dev-000000.tar", "small-train-0.tar"]
    grouped = group_by_split(names, {"small", "large", "dev"})
    assert {split: list(found) for split, found in grouped.items()} == {
        "train": ["small-train-0.tar"],
        "dev": ["dev-000000.tar"],
        "small": ["small-000000.tar"],
        "large": ["large-000000.tar"],
    }
