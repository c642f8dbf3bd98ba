"""Images whose numbers mean the same everywhere: black is 0 and white is 1."""

from copy import copy
from dataclasses import replace
from typing import TypeGuard

from labwright.datasets import Dataset, InputDataset, Splits


def in_unit_range(splits: Splits) -> Splits:
    """The same images from 0 to 1 instead of standardised, for models that make images.

    White is the largest number that is stored in any of the sets.
    """
    sets = {**splits.train, **splits.val, **splits.test}
    assert _are_in_memory(sets)
    white = max(float(dataset.inputs.max()) for dataset in sets.values())
    rescaled = {name: _rescaled(dataset, white) for name, dataset in sets.items()}
    train, val, test = ({name: rescaled[name] for name in part} for part in (splits.train, splits.val, splits.test))
    return replace(splits, train=train, val=val, test=test)


def _are_in_memory(sets: dict[str, Dataset]) -> TypeGuard[dict[str, InputDataset]]:
    return all(isinstance(dataset, InputDataset) for dataset in sets.values())


def _rescaled(dataset: InputDataset, white: float) -> InputDataset:
    same = copy(dataset)
    same.mean, same.std = 0.0, white
    return same
