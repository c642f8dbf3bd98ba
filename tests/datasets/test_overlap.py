import random
import re
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from labwright.args import UserError
from labwright.datasets.digits import build_digits
from labwright.datasets.joined import JoinedDataset
from labwright.datasets.mapped import map_dataset
from labwright.datasets.mixed import MixedDataset
from labwright.datasets.overlap import check_overlap
from labwright.datasets.splits import Dataset, Splits
from labwright.datasets.tensor import TensorDataset
from labwright.datasets.view import DatasetView
from labwright.datasets.zipped import ZippedDataset


def splits_of(train: Any, val: Any, test: Any = None) -> Splits:
    def named(name: str, value: Any) -> Mapping[str, Dataset]:
        return value if isinstance(value, dict) else {} if value is None else {name: value}

    return Splits(
        train=dict(named("train", train)),
        val=dict(named("val", val)),
        test=dict(named("test", test)),
        name="noise",
        task="classification",
        num_outputs=2,
        fingerprint="",
    )


def noise(num_samples: int, seed: int, source: str = "") -> TensorDataset:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (num_samples, 1, 5, 5), dtype=torch.uint8, generator=generator)
    return TensorDataset(pixels, torch.arange(num_samples) % 2, source=source or f"noise {seed}")


def with_copies(data: TensorDataset, others: TensorDataset, num_copies: int) -> TensorDataset:
    """`data`, its first samples replaced by those of `others`."""
    inputs, targets = data.inputs.clone(), data.targets.clone()
    inputs[:num_copies], targets[:num_copies] = others.inputs[:num_copies], others.targets[:num_copies]
    return TensorDataset(inputs, targets, source="copies")


def test_a_dataset_that_returns_itself_for_every_split_is_refused() -> None:
    """Seen: `get_split` changed the dataset and returned itself; train, val and test were the same data, unnoticed."""

    class Selfish(TensorDataset):
        def get_split(self, name: str) -> "Selfish":
            return self

    data = Selfish(torch.zeros(10, 2), torch.zeros(10), source="selfish")
    splits = splits_of(data.get_split("train"), data.get_split("val"), data.get_split("test"))

    with pytest.raises(UserError, match="train and val are the same dataset object"):
        check_overlap(splits, "allow")


def test_shared_source_positions_are_refused_and_counted() -> None:
    data = noise(100, seed=0)
    splits = splits_of(data.subset(range(0, 60)), data.subset(range(60, 80)), data.subset(range(77, 100)))

    with pytest.raises(UserError, match=re.escape("val and test share 3 samples of noise 0 (for example number 77)")):
        check_overlap(splits, "allow")


def test_same_positions_of_different_sources_are_fine() -> None:
    assert check_overlap(splits_of(noise(50, seed=0), noise(50, seed=1))) == []


def test_stock_splits_are_clean() -> None:
    assert check_overlap(build_digits(0.1, 0.2, 0), "refuse") == []


def test_few_equal_contents_warn_with_count_and_example() -> None:
    train, val = noise(1000, seed=0), noise(500, seed=1)

    (warning,) = check_overlap(splits_of(train, with_copies(val, train, 2)))

    assert warning.startswith("2 of 500 samples of val have equal contents in train")
    index, same = map(int, re.findall(r"\[(\d+)\]", warning))
    assert index == same == 0


def test_more_than_one_percent_equal_contents_are_refused_unless_allowed() -> None:
    train, val = noise(1000, seed=0), noise(500, seed=1)
    splits = splits_of(train, with_copies(val, train, 6))

    with pytest.raises(UserError, match="6 of 500 samples of val have equal contents in train.*--overlap=allow"):
        check_overlap(splits)
    assert len(check_overlap(splits, "allow")) == 1


def test_one_equal_content_is_refused_by_policy() -> None:
    train, val = noise(1000, seed=0), noise(500, seed=1)

    with pytest.raises(UserError, match="1 of 500"):
        check_overlap(splits_of(train, with_copies(val, train, 1)), "refuse")


def test_same_input_with_another_target_is_another_sample() -> None:
    train = noise(10, seed=0)

    assert check_overlap(splits_of(train, TensorDataset(train.inputs, 1 - train.targets, source="flipped"))) == []


def test_rows_with_the_same_sum_are_not_taken_for_equal() -> None:
    rows = torch.arange(4 * 16, dtype=torch.uint8).reshape(4, 16)
    swapped = rows.roll(8, dims=1)  # the same 64-bit words in another order
    labels = torch.zeros(4)
    first, second = (TensorDataset(each, labels, source=name) for each, name in ((rows, "a"), (swapped, "b")))
    assert check_overlap(splits_of(first, second), "refuse") == []


def test_two_validation_sets_may_share_samples() -> None:
    data = noise(100, seed=0)
    val = data.subset(range(80, 100))

    assert check_overlap(splits_of(data.subset(range(80)), {"val": val, "val_again": val})) == []


class Decoded:
    """A dataset of someone's own: sample by sample, no source, a random flip that draws from three generators."""

    def __init__(self, seed: int, num_samples: int = 300) -> None:
        self.values = np.random.default_rng(seed).normal(size=(num_samples, 4)).astype(np.float32)

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: int) -> dict[str, object]:
        random.random(), np.random.rand(), torch.rand(1)
        return {"input": self.values[index], "target": 0, "index": index}


def test_equal_contents_are_found_in_any_dataset() -> None:
    with pytest.raises(UserError, match="300 of 300 samples of val have equal contents in train"):
        check_overlap(splits_of(Decoded(0), Decoded(0)))
    assert check_overlap(splits_of(Decoded(0), Decoded(1))) == []


def test_large_dataset_is_sampled_and_a_copy_still_refused() -> None:
    with pytest.raises(UserError, match="of 2,000 samples looked at of val"):
        check_overlap(splits_of(Decoded(0, 5000), Decoded(0, 5000)))


def test_two_views_of_one_dataset_that_share_samples_are_refused() -> None:
    data = Decoded(0)

    with pytest.raises(UserError, match="share 10 samples of Decoded"):
        check_overlap(splits_of(DatasetView(data, range(200)), DatasetView(data, range(190, 300))))
    assert check_overlap(splits_of(DatasetView(data, range(200)), DatasetView(data, range(200, 300)))) == []


def test_looking_at_samples_leaves_random_states_alone() -> None:
    random.seed(0), np.random.seed(0), torch.manual_seed(0)
    expected = (random.random(), np.random.rand(), torch.rand(1).item())
    random.seed(0), np.random.seed(0), torch.manual_seed(0)

    check_overlap(splits_of(Decoded(0), Decoded(1)))

    assert (random.random(), np.random.rand(), torch.rand(1).item()) == expected


def test_seventy_thousand_images_take_less_than_a_second() -> None:
    data = TensorDataset(
        torch.randint(0, 256, (70_000, 1, 28, 28), dtype=torch.uint8), torch.zeros(70_000), source="images"
    )
    splits = splits_of(
        data.subset(range(54_000)), data.subset(range(54_000, 60_000)), data.subset(range(60_000, 70_000))
    )

    started = time.process_time()
    assert check_overlap(splits) == []
    assert time.process_time() - started < 1


def test_a_dataset_that_returns_itself_is_found_inside_joined_zipped_mixed_and_mapped_sets() -> None:
    data, other = noise(40, seed=0), noise(30, seed=1)
    disguises = [
        JoinedDataset({"a": other, "b": data}, interleave="shuffle"),
        ZippedDataset(a=other, b=data),
        MixedDataset({"a": other, "b": data}, {"a": 1, "b": 1}, num_samples=200),
        map_dataset(data, lambda batch: batch),
        DatasetView(JoinedDataset({"a": data, "b": other}), range(40)),
        JoinedDataset({"inner": ZippedDataset(a=data)}),
    ]

    for train in disguises:
        with pytest.raises(UserError, match="train and val share 40 samples of noise 0") as caught:
            check_overlap(splits_of(train, data), "allow")
        assert "\n" not in str(caught.value)


def test_one_object_of_ones_own_is_found_inside_two_joined_sets() -> None:
    data = Decoded(0)
    sets = (JoinedDataset({"data": data, "more": Decoded(seed)}) for seed in (1, 2))

    with pytest.raises(UserError, match="train and val share 300 samples of Decoded"):
        check_overlap(splits_of(*sets), "allow")


def test_joined_sets_without_a_common_sample_are_clean() -> None:
    a, b = noise(40, seed=0), noise(40, seed=1)

    train = JoinedDataset({"a": a.subset(range(30)), "b": b.subset(range(30))})
    val = ZippedDataset(a=a.subset(range(30, 40)), b=b.subset(range(30, 40)))

    assert check_overlap(splits_of(train, val), "refuse") == []


@pytest.mark.parametrize(
    "disguise",
    [
        lambda data: JoinedDataset({"more": noise(300, seed=8), "data": data}),
        lambda data: ZippedDataset(more=noise(300, seed=8), data=data),
        lambda data: map_dataset(data, lambda batch: {"input": batch["input"] + 1}),
        lambda data: DatasetView(data, range(500)),
    ],
    ids=["joined", "zipped", "mapped", "view"],
)
def test_equal_images_in_composed_and_demonstration_sets_follow_the_policy(disguise: Any) -> None:
    train, demo = noise(1000, seed=0), noise(500, seed=1)
    few, many = (disguise(with_copies(demo, train, num_copies)) for num_copies in (2, 60))

    def splits(demo: Any) -> Splits:
        return replace(splits_of(train, {"val": noise(100, seed=3), "demo": demo}), demo_only=("demo",))

    (warning,) = check_overlap(splits(few))
    assert "2 of" in warning and "samples of demo have equal contents in train" in warning
    with pytest.raises(UserError, match="2 of"):
        check_overlap(splits(few), "refuse")
    with pytest.raises(UserError, match="60 of .* of demo have equal contents in train"):
        check_overlap(splits(many))


def test_example_of_equal_images_is_counted_in_the_joined_set() -> None:
    train, val = noise(1000, seed=0), noise(500, seed=1)
    joined = JoinedDataset({"more": noise(250, seed=8), "val": with_copies(val, train, 1)})

    (warning,) = check_overlap(splits_of(train, joined))

    assert "(for example val[250] and train[0])" in warning


def test_parts_of_torchs_random_split_are_looked_into() -> None:
    data = noise(100, seed=0)
    train, val = torch.utils.data.random_split(data, [80, 20])

    assert check_overlap(splits_of(train, val), "refuse") == []
    with pytest.raises(UserError, match="train and val share 80 samples of noise 0"):
        check_overlap(splits_of(train, data))


def test_group_on_two_sides_is_refused() -> None:
    data = noise(100, seed=0)
    data.groups = np.repeat([f"patient {number}" for number in range(10)], 10)

    with pytest.raises(
        UserError, match=re.escape("train and val share 1 of the groups of noise 0 (for example patient 7)")
    ):
        check_overlap(splits_of(data.subset(range(75)), data.subset(range(75, 100))), "allow")
    assert check_overlap(splits_of(data.subset(range(70)), data.subset(range(70, 100)))) == []


def test_demonstration_set_may_share_samples_with_another_validation_set() -> None:
    data = noise(100, seed=0)
    val = data.subset(range(80, 100))
    augmented = map_dataset(val, lambda batch: {**batch, "input": 255 - batch["input"]})
    splits = splits_of(data.subset(range(80)), {"val": val, "augmented": augmented})

    assert check_overlap(replace(splits, demo_only=("augmented",)), "refuse") == []
