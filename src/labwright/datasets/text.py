"""Text as a dataset: its characters, to be predicted from those before."""

import inspect
import math
from copy import copy
from importlib import import_module
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np
import torch
from torch import Tensor

from labwright.args import UserError
from labwright.args.reading import reading

from .args import TextDataArgs
from .gathered import Gathered
from .splits import Batch, Splits, fingerprint

if TYPE_CHECKING:
    from .splits import Indices

_MODULES = (
    "argparse ast calendar collections configparser csv datetime decimal difflib functools heapq inspect ipaddress "
    "logging optparse pathlib pprint random shutil statistics string subprocess tarfile textwrap threading traceback "
    "unittest.case zipfile"
).split()


class TextDataset(Gathered):
    """Windows of a text: `input` is `context_length` characters as int64, `target` the same moved on by one.

    `source_indices` are the places in `source` where the windows start.
    """

    draws_random_numbers = False
    takes_tensors = True

    def __init__(self, codes: np.ndarray, starts: np.ndarray, context_length: int, *, source: str) -> None:
        self.codes = torch.from_numpy(codes)
        self.context_length = context_length
        self.source = source
        self.source_indices = torch.from_numpy(starts)
        self._starts = self.source_indices
        self._steps = torch.arange(context_length + 1)

    def __len__(self) -> int:
        return len(self.source_indices)

    @property
    def input_shape(self) -> tuple[int, ...]:
        return (self.context_length,)

    def gather(self, indices: "Indices") -> Batch:
        """The windows at these positions, their last character among them."""
        index = torch.as_tensor(indices, dtype=torch.int64)
        window = self.codes[self._starts.index_select(0, index)[:, None] + self._steps]
        return {"input": window, "index": index, "source": [self.source] * len(index)}

    def finish(self, batch: Batch) -> Batch:
        """A batch of `gather`, its windows now inputs and targets."""
        window = cast(Tensor, batch["input"]).long()
        return batch | {"input": window[:, :-1], "target": window[:, 1:]}

    @property
    def device(self) -> torch.device:
        """Where the text lies."""
        return self.codes.device

    @property
    def num_bytes(self) -> int:
        """What `to` would take of a device's memory."""
        return self.codes.nbytes + self._starts.nbytes

    def to(self, device: torch.device) -> Self:
        """The same windows with their text on `device`, to be asked for by positions that are there too."""
        moved = copy(self)
        moved.codes, moved._starts, moved._steps = (each.to(device) for each in (self.codes, self._starts, self._steps))
        return moved


def build_text(args: TextDataArgs) -> Splits:
    """The text's characters; its beginning is trained on, the stretches behind it are for validation and test."""
    if args.path is None:
        name, text = "docstrings of the Python standard library", _docstrings()
    else:
        name, text = args.path.name, _read(args)
    vocabulary, codes = np.unique(np.frombuffer(text.encode("utf-32-le"), np.uint32), return_inverse=True)
    codes = codes.astype(np.int32)
    num_test, num_val = (math.floor(share * len(codes)) for share in (args.test_fraction, args.val_fraction))
    ends = [len(codes) - num_val - num_test, len(codes) - num_test, len(codes)]
    sets: list[dict[str, Any]] = []
    for split, first, end in zip(("train", "val", "test"), [0, *ends], ends, strict=False):
        starts = np.arange(first, end - args.context_length, args.context_length)
        if len(starts) == 0 and (first < end or split == "train"):
            raise UserError(
                f"{name}: the {end - first:,} characters for {split} are fewer than a window of "
                f"{args.context_length + 1:,}; use a longer text or a smaller context_length"
            )
        sets.append({split: TextDataset(codes, starts, args.context_length, source=name)} if len(starts) else {})
    return Splits(
        train=sets[0],
        val=sets[1],
        test=sets[2],
        name=name,
        num_outputs=len(vocabulary),
        class_names=tuple(map(chr, vocabulary.tolist())),
        fingerprint=fingerprint(text),
    )


def _read(args: TextDataArgs) -> str:
    assert args.path is not None
    path = args.path.expanduser()
    with reading(path):
        text = path.read_text(encoding="utf-8-sig")
    if not text:
        raise UserError(f"{path} is empty")
    return text


def _docstrings() -> str:
    """Some 270,000 characters of plain English about Python; they differ a little between Python versions."""
    if __doc__ is None:
        raise UserError("this Python runs without docstrings (-OO), which are the text by default; give a path")
    texts = [text for name in _MODULES for text in _docstrings_of(import_module(name))]
    return "\n\n".join(texts) + "\n"


def _docstrings_of(module: Any) -> list[str]:
    """Those of the module, of its public functions and classes, and of their public methods."""
    found = [module]
    for name, member in sorted(vars(module).items()):
        is_documented = inspect.isclass(member) or inspect.isroutine(member)
        if not name.startswith("_") and is_documented and member.__module__ == module.__name__:
            methods = sorted(vars(member).items()) if inspect.isclass(member) else []
            found += [member, *(method for name, method in methods if not name.startswith("_") and callable(method))]
    return [text for text in map(inspect.getdoc, found) if text]
