"""Datasets whose batches come in two steps. No torch of its own."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from .splits import Batch, get_sample

if TYPE_CHECKING:
    from .splits import Indices


class Gathered(ABC):
    """Batches are gathered as they are stored, and finished where they are worked on: loaders do that on the device."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def gather(self, indices: "Indices") -> Batch:
        """The samples at these positions as they are stored."""

    @abstractmethod
    def finish(self, batch: Batch) -> Batch:
        """A batch of `gather` as an experiment is given it."""

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")  # what ends `for sample in dataset`
        return get_sample(self, index) | {"index": index}

    def __getitems__(self, indices: "Indices") -> Batch:
        return self.finish(self.gather(indices))
