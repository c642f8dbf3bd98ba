import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from labwright.args import UserError
from labwright.datasets.splits import Splits, fingerprint, get_sample, hold_out, input_shape, split_indices
from labwright.datasets.tensor import TensorDataset

labels_strategy = st.lists(st.integers(0, 6), max_size=120).map(lambda values: np.array(values, dtype=np.int64))
fractions_strategy = st.tuples(st.floats(0, 0.5), st.floats(0, 0.49))


@given(labels=labels_strategy, fractions=fractions_strategy, seed=st.integers(0, 1000))
def test_split_is_a_partition_of_exact_sizes(labels: np.ndarray, fractions: tuple[float, float], seed: int) -> None:
    parts = split_indices(labels, fractions, seed)

    assert sorted(np.concatenate(parts).tolist()) == list(range(len(labels)))
    assert len(parts[0]) >= min(1, len(labels))
    assume(len(parts[0]) > 1)
    for fraction, part in zip(fractions, parts[1:], strict=True):
        assert abs(len(part) - fraction * len(labels)) <= 0.5


@given(labels=labels_strategy, fractions=fractions_strategy, seed=st.integers(0, 1000))
def test_every_class_is_split_within_one_of_its_fraction(
    labels: np.ndarray, fractions: tuple[float, float], seed: int
) -> None:
    rest, *parts = split_indices(labels, fractions, seed)
    assume(len(rest) > 1)
    for fraction, part in zip(fractions, parts, strict=True):
        for label, count in zip(*np.unique(labels, return_counts=True), strict=True):
            assert abs((labels[part] == label).sum() - fraction * count) <= 1


@given(num_samples=st.integers(0, 300), fraction=st.floats(0, 0.9), seed=st.integers(0, 1000))
def test_split_without_labels_is_a_partition_too(num_samples: int, fraction: float, seed: int) -> None:
    rest, part = split_indices(num_samples, [fraction], seed)

    assert sorted([*rest, *part]) == list(range(num_samples))


def test_split_depends_on_the_seed_alone() -> None:
    labels = np.arange(100) % 7

    first, again, other = (split_indices(labels, [0.3], seed)[1].tolist() for seed in (5, 5, 6))

    assert first == again != other


def test_split_is_the_same_on_every_machine() -> None:
    """These numbers may never change: they decide what every stored run was trained on."""
    _, val, test = split_indices(np.arange(12) % 3, [0.25, 0.25], 0)

    assert (val.tolist(), test.tolist()) == ([3, 7, 8], [2, 4, 9])


def test_class_of_one_sample_stays_in_training() -> None:
    labels = np.array([0] * 10 + [1])

    train, val, test = split_indices(labels, (0.3, 0.3), 0)

    assert 10 in train
    assert len(val) == len(test) == 3


def test_one_sample_is_left_for_training() -> None:
    assert [len(part) for part in split_indices(2, (0.5, 0.5), 0)] == [1, 1, 0]


def test_fractions_that_leave_nothing_to_train_on_are_refused() -> None:
    with pytest.raises(UserError, match="leave nothing to train on"):
        hold_out(100, val_fraction=0.5, test_fraction=0.5, seed=0)


def test_fraction_that_holds_out_no_sample_is_refused() -> None:
    with pytest.raises(UserError, match="val_fraction=0.01 of 10 samples is none"):
        hold_out(10, val_fraction=0.01, test_fraction=0.2, seed=0)


def test_fingerprint_tells_contents_dtypes_and_shapes_apart() -> None:
    array = np.arange(6)
    prints = {
        fingerprint(array),
        fingerprint(array.reshape(2, 3)),
        fingerprint(array.astype(np.float64)),
        fingerprint(array + 1),
        fingerprint("a", "bc"),
        fingerprint("ab", "c"),
    }

    assert len(prints) == 6
    assert fingerprint(array) == fingerprint(array.copy())


def test_input_shape_is_that_of_one_training_sample() -> None:
    data = TensorDataset(torch.zeros(3, 1, 8, 8), torch.zeros(3), source="zeros")
    splits = Splits(
        train={"train": data}, val={}, test={}, name="zeros", task="regression", num_outputs=1, fingerprint=""
    )

    assert splits.input_shape == (1, 8, 8)


class OnlyBatches:
    def __len__(self) -> int:
        return 3

    def __getitems__(self, indices: list[int]) -> dict[str, torch.Tensor | list[str]]:
        return {"input": torch.tensor(indices) * 2.0, "source": ["doubles"] * len(indices)}


def test_sample_of_a_dataset_that_gives_batches_only() -> None:
    sample = get_sample(OnlyBatches(), 2)

    assert sample["input"].item() == 4
    assert sample["source"] == "doubles"


def test_torch_subset_gives_its_sample() -> None:
    data = TensorDataset(torch.arange(4.0), torch.zeros(4), source="numbers")

    assert get_sample(torch.utils.data.Subset(list(data), [3]), 0)["input"].item() == 3


def test_splits_views_and_the_overlap_check_work_without_torch() -> None:
    """For experiments that do not use torch, on machines that do not have it."""
    code = """
import sys
sys.modules["torch"] = None  # importing it raises
import numpy as np
from labwright.args import UserError
from labwright.datasets import DatasetView, Splits, check_overlap, hold_out, limit
samples = [(row, 0) for row in np.random.default_rng(0).normal(size=(50, 3))]
train, val, _ = hold_out(50, val_fraction=0.2, test_fraction=0, seed=0)
splits = Splits(
    name="rows", train={"train": DatasetView(samples, train)}, val={"val": limit(DatasetView(samples, val), 5)}
)
assert check_overlap(splits) == [] and splits.input_shape == (3,)
try:
    check_overlap(Splits(name="rows", train={"train": samples}, val={"val": list(samples)}))
except UserError as error:
    sys.exit("refused" if "50 of 50 samples" in str(error) else str(error))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert result.stderr == "refused\n"


def test_dataset_args_import_neither_numpy_nor_torch() -> None:
    code = """
import sys
from labwright.datasets import CsvDataArgs, DatasetUnion, MnistDataArgs
MnistDataArgs(), CsvDataArgs(path="x.csv", target="y")
sys.exit(", ".join({"numpy", "torch", "sklearn"} & sys.modules.keys()) or None)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert (result.returncode, result.stderr) == (0, "")


def points(num_samples: int = 4) -> TensorDataset:
    return TensorDataset(torch.zeros(num_samples, 2), torch.zeros(num_samples), source="points")


def test_a_name_and_a_training_set_are_enough() -> None:
    splits = Splits(name="points", train={"train": points()})

    assert (splits.val, splits.test, splits.task, splits.num_outputs, splits.fingerprint) == ({}, {}, None, 0, "")
    assert splits.deciding_val == {}


def test_demonstration_sets_do_not_decide() -> None:
    val, noisy = points(), points()
    splits = Splits(name="points", train={"train": points()}, val={"val": val, "noisy": noisy}, demo_only=("noisy",))

    assert splits.deciding_val == {"val": val}


def test_demonstration_set_that_is_no_validation_set_is_refused() -> None:
    with pytest.raises(UserError, match="demo_only names 'nosy', which is no validation set; did you mean 'noisy'?"):
        Splits(name="points", val={"noisy": points()}, demo_only=frozenset({"nosy"}))
    with pytest.raises(UserError, match="demo_only names 'train'.*known: 'noisy'"):
        Splits(name="points", train={"train": points()}, val={"noisy": points()}, demo_only=("train",))


def test_one_name_for_two_sets_is_refused() -> None:
    with pytest.raises(UserError, match="two datasets are called 'digits'"):
        Splits(name="points", train={"digits": points()}, test={"digits": points()})


def test_name_that_stands_for_the_mean_is_refused() -> None:
    with pytest.raises(UserError, match="called 'mean'.*mean/accuracy"):
        Splits(name="points", val={"mean": points()})


class Augmented:
    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return torch.rand(3, 4), 0


def test_input_shape_of_pairs_is_found_without_a_trace_in_the_random_numbers() -> None:
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)

    assert input_shape(Augmented()) == (3, 4)
    assert torch.equal(torch.rand(1), expected)


def test_samples_without_an_input_have_no_input_shape() -> None:
    with pytest.raises(UserError, match="list have no `input`, only 'x'"):
        input_shape([{"x": 1}])


def test_fraction_that_holds_out_no_group_is_refused() -> None:
    with pytest.raises(UserError, match="val_fraction=0.1 of 3 groups is none"):
        hold_out(9, val_fraction=0.1, test_fraction=0, seed=0, groups=[0, 0, 0, 1, 1, 1, 2, 2, 2])
