"""`Share`: the part of every batch that one of several ranks works on."""

from collections.abc import Iterator
from typing import NamedTuple

from torch import Tensor


class Share(NamedTuple):
    """Ranks cut each batch into contiguous parts, whose sizes differ by one at most; the first ones have more."""

    rank: int
    size: int
    training: bool
    """Whether a rank for which nothing is left takes part all the same, with a sample of another."""

    @property
    def words(self) -> tuple[str | int, ...]:
        """What seeds of this rank follow from besides; nothing for rank 0, whose are those of a process alone."""
        return ("rank", self.rank) if self.rank else ()

    def of(self, positions: Tensor, batch_size: int) -> Iterator[Tensor]:
        """The part of these batches: of as many together as are cut alike."""
        num_whole = len(positions) // batch_size * batch_size
        whole, rest = positions[:num_whole], positions[num_whole:]
        if num_whole and batch_size % self.size == 0:
            yield whole.view(-1, self.size, batch_size // self.size)[:, self.rank].reshape(-1)
        elif num_whole:
            yield from map(self._cut, whole.split(batch_size))
        own = self._cut(rest)
        if len(own):
            yield own
        elif len(rest) and self.training:
            yield rest[:1]

    def _cut(self, batch: Tensor) -> Tensor:
        each, num_larger = divmod(len(batch), self.size)
        start = self.rank * each + min(self.rank, num_larger)
        return batch[start : start + each + (self.rank < num_larger)]
