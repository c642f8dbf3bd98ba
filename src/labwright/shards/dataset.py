"""Samples of shards, by position: one at a time, or a batch at once."""

import hashlib
import operator
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import get_worker_info

from labwright.args.wording import listed, not_one_of, one_line

from .batch_names import BatchNames
from .codecs.arrays import NpyCodec
from .codecs.base import Codec
from .codecs.basic import BytesCodec, ClsCodec
from .columns import as_column, as_tensor
from .decoding import Buffers, NumThreads, Threads, decoded_together
from .errors import ShardError
from .fields import PROVENANCE, Fields, chosen_codecs, chosen_fields
from .files import ShardFiles, Verify
from .gather import Gatherer
from .opened import Opened, open_dataset
from .order import Permutation
from .whole_batch import WholeBatch

if TYPE_CHECKING:
    from .index import Keys

Indices = Sequence[int] | np.ndarray | Tensor
Sample = dict[str, Any]
_TAKE_STREAM = int.from_bytes(b"take")
_READ_AT_ONCE = 4096


class ShardDataset:
    """One split of a dataset in shards; `dataset[i]` is a sample, a dict, and `dataset.__getitems__(list)` a batch.

    A sample has its fields, under their own names or those that `fields` gives them (`{"input": "jpg", "target":
    "cls"}`), and says where it is from: `index`, its position here; `source`; and `name`, its key. Arrays and images
    are tensors ([height, width, channels] or [height, width], as stored), classes are ints, all else is what its codec
    gives. In a batch, tensors of one shape and numbers are stacked; what cannot be is a list.

    Args:
        path: a directory, a tar file, a pattern of them, or what `open_dataset` returned.
        fields: a list of fields, or a dict of them by the name they get; None: all.
        codecs: codecs by field, or their names, instead of those that the dataset was written with.
        limit: so many samples at most, chosen by `take`.
        verify: "open": shards are the files they were, of the right size; "read": and each member has its checksum;
            "off": no member lies outside its shard, no more.
        raw: give the stored bytes of every field that `codecs` does not name.
        unsafe: read pickle, which runs programs that the writer of the data put there.
        num_threads: that decode images, at most; "auto": one a processor. One in a worker process of a loader.

    Raises:
        ShardError: in one line, about the dataset now or about a sample when it is read.
    """

    def __init__(
        self,
        path: str | Path | Opened,
        split: str = "train",
        fields: Fields = None,
        *,
        codecs: Mapping[str, Codec | str] | None = None,
        limit: int | None = None,
        verify: Verify = "open",
        raw: bool = False,
        unsafe: bool = False,
        num_threads: NumThreads = "auto",
    ) -> None:
        self.opened = path if isinstance(path, Opened) else open_dataset(Path(path).expanduser())
        stored = self.opened.split(split)
        self.split = split
        self.fields = chosen_fields(self.opened, fields, stored.index.fields)
        """Fields by the name they have in a sample."""
        self.codecs = chosen_codecs(self.opened, self.fields, codecs or {}, raw=raw, unsafe=unsafe)
        """Codecs by field."""
        self.source = f"{self.opened.directory.resolve().name}/{split}@{self.opened.fingerprint[:8]}"
        """The same for the same split of the same data, wherever that lies."""
        self.draws_random_numbers = False
        """Whether a function given to `map` draws any."""
        self._files = ShardFiles(stored, verify=verify)
        self._threads = Threads(num_threads)
        self._buffers = Buffers()
        self._gatherers = {
            field: Gatherer(self._files, field) for field, codec in self.codecs.items() if type(codec) is NpyCodec
        }
        self._positions: np.ndarray | None = None
        """Of the samples of a part; None: all of the split."""
        self._steps: tuple[tuple[str | None, Callable[[Any], Any]], ...] = ()
        """Functions in the order they were given to `map`, each for one value or (None) a whole sample."""
        if limit is not None:
            self._positions = self.take(limit)._positions

    def __len__(self) -> int:
        return self._files.split.num_samples if self._positions is None else len(self._positions)

    def __repr__(self) -> str:
        return f"ShardDataset({str(self.opened.directory)!r}, {self.split!r}: {len(self):,} samples of {self.fields})"

    def __getitem__(self, index: int) -> Sample:
        if not hasattr(index, "__index__"):
            raise TypeError(
                f"a sample is asked for by its position, a whole number, not by {one_line(repr(index))}; "
                "`keys` finds the position of a key, and `subset` chooses several"
            )
        position = operator.index(index)
        if not 0 <= position < len(self):
            raise IndexError(f"sample {position} of {len(self)}")  # what ends `for sample in dataset`
        (sample,) = self._samples(np.asarray([position], np.int64))
        return {name: as_tensor(value) for name, value in sample.items()}

    def __getitems__(self, indices: Indices) -> dict[str, Any]:
        index = self._checked(indices)
        if self._steps:
            return self._stacked(self._samples(index), index)
        positions = self._at(index)
        columns = {name: as_column(self._values(field, positions)) for name, field in self.fields.items()}
        return WholeBatch(columns | self._provenance(index, positions))

    def map(
        self,
        function: Callable[[Sample], Sample] | None = None,
        /,
        *,
        draws_random_numbers: bool = False,
        **functions: Callable[[Any], Any],
    ) -> Self:
        """The same samples changed by `function`, or single values by functions of their own: `map(input=resize)`.

        They are called in the order they are given, with what the codecs give: arrays as NumPy's. Say
        `draws_random_numbers=True` if one draws any, and loaders seed them.
        """
        names = self.fields if all(name is not None for name, _ in self._steps) else functions
        for name in functions:
            if name not in names:
                raise ShardError(f"map: no such value in these samples: {not_one_of(name, list(names))}")
        mapped = copy(self)
        whole = () if function is None else ((None, function),)
        mapped._steps = (*self._steps, *whole, *functions.items())
        mapped.draws_random_numbers = self.draws_random_numbers or draws_random_numbers
        return mapped

    def subset(self, indices: Indices) -> Self:
        """The samples at these positions, which remember where they come from."""
        part = copy(self)
        part._positions = self._at(self._checked(indices))
        return part

    def take(self, num_samples: int, seed: int = 0) -> Self:
        """`num_samples` of them (all, if there are no more), drawn by `seed`; of each class in proportion, where the
        field called `target`, or the only one that has classes, says what they are."""
        if num_samples < 1:
            raise ShardError(f"of {self.source} at least 1 sample has to be taken, not {num_samples}")
        if num_samples >= len(self):
            return self
        rng = np.random.Generator(np.random.PCG64([seed, _TAKE_STREAM]))
        order = np.argsort(rng.random(len(self)), kind="stable")
        name = self._name_of_classes()
        if name is not None:
            order = order[np.argsort(self.column(name)[order], kind="stable")]
        steps = (np.arange(num_samples) + rng.random()) * (len(self) / num_samples)
        return self.subset(np.sort(order[steps.astype(np.int64)]))

    def column(self, name: str) -> np.ndarray:
        """One value of every sample as one array: classes, numbers, arrays of one shape; not changed by `map`."""
        if name not in self.fields:
            raise ShardError(f"no such value in these samples: {not_one_of(name, list(self.fields))}")
        everything = self._at(np.arange(len(self)))
        starts = range(0, len(self), _READ_AT_ONCE)
        parts = [np.asarray(self._values(self.fields[name], everything[i : i + _READ_AT_ONCE])) for i in starts]
        return np.concatenate(parts) if parts else np.empty(0)

    @property
    def metadata(self) -> dict[str, Any]:
        """What the writer of the dataset noted in it."""
        return self.opened.metadata

    @property
    def keys(self) -> "Sequence[str] | Keys":
        """The key of each sample."""
        keys = self._files.split.index.keys
        return keys if self._positions is None else keys[self._positions]

    @property
    def fingerprint(self) -> str:
        """SHA-256 that says which samples of which data these are, in which order, and which of their fields."""
        chosen = b"" if self._positions is None else self._positions.astype("<i8").tobytes()
        text = f"{self.opened.fingerprint} {self.split} {sorted(self.fields.items())} "
        return hashlib.sha256(text.encode() + chosen).hexdigest()

    @property
    def source_indices(self) -> Tensor:
        """The position of each sample in its split."""
        return torch.from_numpy(self._at(np.arange(len(self))))

    @property
    def stored_rows(self) -> Callable[[np.ndarray], list[np.ndarray]]:
        """Checksums and sizes of the samples at given positions, a row a sample, to compare thousands at a time."""
        if not self._files.split.has_checksums:
            raise AttributeError("these shards have no checksums")
        return lambda positions: [self._files.marks(self._at(positions), field) for field in self.fields.values()]

    def permutation(self, seed: int, epoch: int) -> Permutation:
        """The shuffled order of an epoch, of which loaders compute what they need."""
        return Permutation(len(self), seed, epoch)

    def close(self) -> None:
        """Let go of shards and threads; reading takes them up again."""
        self._files.close()
        self._threads.close()

    def _checked(self, indices: Indices) -> np.ndarray:
        index = indices.numpy() if isinstance(indices, Tensor) else np.asarray(indices)
        if not index.size:
            return np.empty(0, np.int64)
        if index.ndim != 1 or index.dtype.kind not in "iu":
            advice = "; a mask becomes positions by np.flatnonzero(mask)" if index.dtype == bool else ""
            raise ShardError(f"positions are a row of whole numbers, not {list(index.shape)} of {index.dtype}{advice}")
        index = index.astype(np.int64, copy=False)
        if not 0 <= int(index.min()) <= int(index.max()) < len(self):
            outside = index[(index < 0) | (index >= len(self))]
            raise IndexError(f"sample {outside[0]} of {len(self)}")
        return index

    def _at(self, index: np.ndarray) -> np.ndarray:
        """Positions in the split."""
        return index if self._positions is None else self._positions[index]

    def _values(self, field: str, positions: np.ndarray) -> "np.ndarray | list[Any]":
        """What the samples have under `field`, decoded: in one array where that is quicker."""
        if field in self._gatherers:
            gathered = self._gatherers[field].gather(positions)
            if gathered is not None:
                return gathered
        codec = self.codecs[field]
        contents = self._files.read_many(positions, field, mapped=not codec.releases_gil)
        if type(codec) is BytesCodec:
            return contents

        def decoded(row: int, out: np.ndarray | None = None) -> Any:
            try:
                if out is not None and codec.decode_into(contents[row], out):
                    return out
                return codec.decode(contents[row])
            except ValueError as error:
                raise self._files.error(str(error), int(positions[row]), field) from error
            except Exception as error:
                error.add_note(str(self._files.error(f"by {type(codec).__name__}", int(positions[row]), field)))
                raise

        if not codec.releases_gil:
            return [decoded(row) for row in range(len(contents))]
        most = None if get_worker_info() is None else 1
        return decoded_together(decoded, len(contents), self._threads, self._buffers, most)

    def _samples(self, index: np.ndarray) -> list[Sample]:
        """The samples at these positions, one by one, as the functions given to `map` make them."""
        positions = self._at(index)
        columns = {name: self._values(field, positions) for name, field in self.fields.items()}
        columns |= {**self._provenance(index, positions), "index": index.tolist()}
        rows = zip(*columns.values(), strict=True)
        return [self._mapped(dict(zip(columns, values, strict=True))) for values in rows]

    def _mapped(self, sample: Sample) -> Sample:
        provenance = {name: sample[name] for name in PROVENANCE}
        for name, function in self._steps:
            try:
                if name is not None:
                    sample[name] = function(sample[name])
                    continue
                sample = function(sample)
            except Exception as error:
                error.add_note(f"in the map of {name or 'sample'} {provenance['name']!r} of {self.source}")
                raise
            if not isinstance(sample, dict):
                raise ShardError(
                    f"a function given to map has to return the sample, a dict; this one returned a "
                    f"{type(sample).__name__}"
                )
        return {**sample, **provenance}

    def _stacked(self, samples: list[Sample], index: np.ndarray) -> dict[str, Any]:
        for sample in samples:
            if sample.keys() != samples[0].keys():
                names = [listed(map(repr, each.keys() - set(PROVENANCE))) for each in (samples[0], sample)]
                raise ShardError(f"map gives samples that do not fit together: one has {names[0]}, another {names[1]}")
        names = [name for name in (samples[0] if samples else ()) if name not in PROVENANCE]
        columns = {name: as_column([sample[name] for sample in samples]) for name in names}
        return WholeBatch(columns | self._provenance(index, self._at(index)))

    def _provenance(self, index: np.ndarray, positions: np.ndarray) -> dict[str, Any]:
        return {
            "index": torch.from_numpy(index),
            "source": [self.source] * len(index),
            "name": BatchNames(self._files.split.index, positions),
        }

    def _name_of_classes(self) -> str | None:
        """The value that says which class a sample is of."""
        names = [name for name, field in self.fields.items() if isinstance(self.codecs[field], ClsCodec)]
        return "target" if "target" in names else names[0] if len(names) == 1 else None
