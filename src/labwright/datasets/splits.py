"""`Splits`, what every dataset builds, and the seeded split behind it. No torch at import."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from labwright.args import UserError
from labwright.args.wording import listed, nearest

from .args import DatasetArgs, Task
from .grouped import split_groups, take_groups
from .random_states import random_states_kept
from .stratified_groups import split_stratified_groups

if TYPE_CHECKING:
    from torch import Tensor

    Indices = Sequence[int] | Tensor | np.ndarray

_SPLIT_STREAM = int.from_bytes(b"split")
_MEAN = "mean"
SPLIT_NAMES = {"train": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val", "test": "test"}
"""What the sets of stored datasets are called, and what they are for."""
Batch = dict[str, "Tensor | list[Any]"]


class SampleDataset(Protocol):
    """Gives one sample at a time, a dict."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


class BatchDataset(Protocol):
    """Gives a whole batch at a time: the fast way."""

    def __len__(self) -> int: ...

    def __getitems__(self, indices: list[int], /) -> Batch: ...


Dataset = SampleDataset | BatchDataset


@dataclass(frozen=True, kw_only=True)
class Splits:
    """Named datasets, in order, and what is known of the data: `Splits(name="stars", train={"train": stars})`.

    A name belongs to one dataset only, since metrics and files carry it; "mean" is the mean over validation sets.
    """

    train: dict[str, Dataset] = field(default_factory=dict[str, Dataset])
    val: dict[str, Dataset] = field(default_factory=dict[str, Dataset])
    test: dict[str, Dataset] = field(default_factory=dict[str, Dataset])
    name: str
    """The data's real name, for summaries and plot titles: "scikit-learn digits, upscaled to 28x28"."""
    task: Task | None = None
    """What the stock loss, metrics and pictures go by; None: none of them fits, the experiment brings its own."""
    num_outputs: int = 0
    """Classes, or target columns; 0: not known."""
    class_names: tuple[str, ...] = ()
    is_image: bool = False
    demo_only: frozenset[str] | tuple[str, ...] = ()
    """Validation sets that are evaluated, logged and plotted, and never decide which epoch is best or when to stop."""
    warnings: tuple[str, ...] = ()
    """What the user must see: a fallback was used, a checksum differs."""
    fingerprint: str = ""
    """SHA-256 over the data's content, whatever the split; empty: not taken."""

    def __post_init__(self) -> None:
        names = [name for sets in (self.train, self.val, self.test) for name in sets]
        for name in names:
            if names.count(name) > 1:
                raise UserError(f"two datasets are called {name!r}; each needs a name of its own")
        if _MEAN in names:
            raise UserError(
                f"a dataset is called {_MEAN!r}, which stands for the mean over the validation sets, as in "
                f"{_MEAN}/accuracy; call it something else"
            )
        for name in self.demo_only:
            if name not in self.val:
                near = nearest(name, list(self.val))
                hint = f"did you mean {near!r}?" if near else f"known: {listed(map(repr, self.val)) or 'none'}"
                raise UserError(f"demo_only names {name!r}, which is no validation set; {hint}")

    @property
    def deciding_val(self) -> dict[str, Dataset]:
        """The validation sets that may decide."""
        return {name: dataset for name, dataset in self.val.items() if name not in self.demo_only}

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input, from the first training sample (or the first sample there is)."""
        for datasets in (self.train, self.val, self.test):
            for dataset in datasets.values():
                if len(dataset):
                    return input_shape(dataset)
        raise UserError(f"{self.name} has no samples")


def input_shape(dataset: Dataset) -> tuple[int, ...]:
    """Shape of one input: what the dataset says of itself, else that of its first sample."""
    known = getattr(dataset, "input_shape", None)
    if known is not None:
        return tuple(known)
    with random_states_kept():
        sample = named(get_sample(dataset, 0))
    if "input" not in sample:
        raise UserError(f"the samples of {type(dataset).__name__} have no `input`, only {listed(map(repr, sample))}")
    return tuple(sample["input"].shape)


def get_sample(dataset: Dataset, index: int) -> Any:
    """One sample, whichever way the dataset gives them."""
    source: Any = dataset
    # asked for first: torch's Dataset base has a __getitem__ that only raises
    if not hasattr(source, "__getitems__"):
        return source[index]
    batch = source.__getitems__([index])
    return batch[0] if isinstance(batch, list) else {key: values[0] for key, values in batch.items()}


def named(sample: Any) -> dict[str, Any]:
    """A sample under its names: a dict as it is, a pair as `input` and `target`."""
    if isinstance(sample, dict):
        return sample
    if isinstance(sample, tuple | list) and len(sample) == 2:
        return {"input": sample[0], "target": sample[1]}
    raise UserError(f"a sample must be a dict, or a pair of input and target; this one is a {type(sample).__name__}")


def fingerprint(*contents: Any) -> str:
    """SHA-256 over arrays (with dtype and shape), bytes and texts, in order."""
    digest = hashlib.sha256()
    for content in contents:
        if isinstance(content, np.ndarray):
            digest.update(f"{content.dtype.str}{content.shape}".encode())
            digest.update(np.ascontiguousarray(content).data)
        else:
            content = content.encode() if isinstance(content, str) else content
            digest.update(f"{len(content)}:".encode() + content)
    return digest.hexdigest()


def split_indices(labels: "int | np.ndarray", fractions: Sequence[float], seed: int) -> list[np.ndarray]:
    """Positions of the rest (the training set), then of one part per fraction, each sorted; a partition of all.

    `labels` is the class of each sample, or just the number of samples. A part has exactly `fraction * n` samples,
    rounded half up, and its count of a class is within 1 of `fraction * class count`, unless the rest would be left
    empty: it keeps one sample. A class too small to be in every part stays in the rest first. The same seed gives the
    same split everywhere.
    """
    classes = np.zeros(labels, dtype=np.int64) if isinstance(labels, int) else np.unique(labels, return_inverse=True)[1]
    # a stream of its own: data drawn with the same seed would else be split by its own values
    rng = np.random.Generator(np.random.PCG64([seed, _SPLIT_STREAM]))
    # random() is the generator's most stable method; permutation() may change between NumPy releases
    order = np.argsort(rng.random(len(classes)), kind="stable")
    counts = np.bincount(classes)
    rank_in_class = _rank_in_class(classes[order])
    taken = np.zeros_like(counts)
    num_left = len(classes)
    parts: list[np.ndarray] = []
    for fraction in fractions:
        size = max(0, min(int(np.floor(fraction * len(classes) + 0.5)), num_left - 1))
        quota = quotas(fraction * counts, size, available=counts - taken, tie_break=rng.random(len(counts)))
        chosen = (rank_in_class >= taken[classes[order]]) & (rank_in_class < (taken + quota)[classes[order]])
        parts.append(np.sort(order[chosen]))
        taken += quota
        num_left -= size
    rest = rank_in_class >= taken[classes[order]]
    return [np.sort(order[rest]), *parts]


def draw(labels: "int | np.ndarray", num_samples: int, seed: int, *, groups: Any = None) -> np.ndarray:
    """Sorted positions of so many samples, fewer than there are: of each class in proportion, or of whole groups.

    `labels` as for `split_indices`. Of groups there are at most `num_samples`, or the smallest if every one is larger.
    """
    if groups is not None:
        return take_groups(groups, num_samples, seed)
    num_all = labels if isinstance(labels, int) else len(labels)
    return split_indices(labels, [num_samples / num_all], seed)[1]


def _rank_in_class(classes: np.ndarray) -> np.ndarray:
    """For each position, how many of the same class stand before it."""
    by_class = np.argsort(classes, kind="stable")
    counts = np.bincount(classes)
    starts = np.cumsum(counts) - counts
    ranks = np.empty(len(classes), dtype=np.int64)
    ranks[by_class] = np.arange(len(classes)) - np.repeat(starts, counts)
    return ranks


def quotas(ideal: np.ndarray, size: int, *, available: np.ndarray, tie_break: np.ndarray) -> np.ndarray:
    """Whole numbers near `ideal` that sum to `size`: all rounded down, then one more where it is most due."""
    quota = np.minimum(np.floor(ideal).astype(np.int64), available)
    if quota.sum() > size:  # the one left for the rest
        quota[np.argmax(quota)] -= 1
    while (missing := size - int(quota.sum())) > 0:
        spare = available - quota
        # last key first: classes with any left, due one at all, of which the rest keeps a sample, the most due, chance
        most_due = np.lexsort((tie_break, quota - ideal, spare <= 1, quota >= ideal, spare <= 0))
        most_due = most_due[: int((spare > 0).sum())][:missing]
        quota[most_due] += 1
    return quota


def fractions_in_vain(args: DatasetArgs, stored: Iterable[str]) -> tuple[str, ...]:
    """A line for each share of `args`, other than by default, of a set that need not be held out: it is `stored`."""
    fields, kinds = type(args).model_fields, {"val": "validation", "test": "test"}
    given = {split: getattr(args, f"{split}_fraction") for split in kinds if split in stored}
    return tuple(
        f"{split}_fraction={share:g} has no effect: a {kinds[split]} set is stored, and used as it is."
        for split, share in given.items()
        if share != fields[f"{split}_fraction"].default
    )


def hold_out(
    labels: "int | np.ndarray",
    *,
    val_fraction: float,
    test_fraction: float,
    seed: int,
    groups: Any = None,
    balanced: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions of train, val and test; a UserError if one that was asked for gets no sample.

    With `groups`, the group of each sample, groups stay whole; classes are then only balanced with `balanced`, as far
    as whole groups allow.
    """
    if val_fraction + test_fraction >= 1:
        raise UserError(
            f"val_fraction={val_fraction:g} and test_fraction={test_fraction:g} leave nothing to train on; "
            "their sum has to be below 1"
        )
    fractions = (val_fraction, test_fraction)
    if groups is None:
        parts = split_indices(labels, fractions, seed)
    elif balanced:
        parts = split_stratified_groups(groups, labels, fractions, seed)
    else:
        parts = split_groups(groups, fractions, seed)
    train, val, test = parts
    for name, fraction, part in (("val_fraction", val_fraction, val), ("test_fraction", test_fraction, test)):
        if fraction > 0 and len(part) == 0:
            num_samples = len(train) + len(val) + len(test)
            units = f"{num_samples} samples" if groups is None else f"{len(np.unique(np.asarray(groups)))} groups"
            raise UserError(f"{name}={fraction:g} of {units} is none; use more, or 0 to go without")
    return train, val, test
