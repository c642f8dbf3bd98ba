"""`World`: the processes that train one model together. No torch here: alone there is nothing to ask it for."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from labwright.args.errors import UserError

T = TypeVar("T")


class RankLost(RuntimeError):
    """Another rank is gone, so that this one cannot go on either."""


class World:
    """One process alone: every question is answered by itself. `Group` is several."""

    rank: int = 0
    """From 0; rank 0 is the one that writes."""
    size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this rank writes files and shows lines."""
        return self.rank == 0

    def on_main(self, function: Callable[[], T]) -> T:
        """What `function` gives on rank 0, on every rank, however long it takes; its UserError on every rank too."""
        return function()

    def same(self, value: T) -> T:
        """Rank 0's value."""
        return value

    def gather(self, value: T) -> list[T]:
        """The value of each rank in order, on rank 0; empty on the others."""
        return [value]

    def sum(self, values: list[float]) -> list[float]:
        """Each number summed over the ranks, in double precision."""
        return values

    def sync_buffers(self, model: Any) -> None:
        """Give every rank the buffers of rank 0's model."""

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """A block that rank 0 goes through before the others begin it: it may download what they then find."""
        yield

    @contextmanager
    def refusing_together(self) -> Iterator[None]:
        """A block whose UserError on any rank is raised on all of them when it ends."""
        yield

    def refuse_so_far(self) -> None:
        """Within `refusing_together`, wait for all ranks, however long one takes, and raise what any has refused."""

    @contextmanager
    def watching(self) -> Iterator[None]:
        """A block whose failed communication is raised as RankLost."""
        yield


ALONE = World()


def launched_rank() -> int:
    """The rank that torchrun gave this process; 0 for one that was started otherwise."""
    return _number("RANK", 0) if launched_size() > 1 else 0


def launched_local_rank() -> int | None:
    """The rank that torchrun gave this process among those of its machine; None where it started no others."""
    return _number("LOCAL_RANK", 0) if launched_size() > 1 else None


def launched_size() -> int:
    """How many processes torchrun started for this job."""
    return _number("WORLD_SIZE", 1) if "RANK" in os.environ else 1


def is_on_one_machine() -> bool:
    """Whether torchrun started all processes of this job here."""
    return _number("LOCAL_WORLD_SIZE", launched_size()) == launched_size()


def num_restarts() -> int:
    """How often torchrun has started the job anew."""
    return _number("TORCHELASTIC_RESTART_COUNT", 0)


def num_restarts_left() -> int:
    """How often torchrun would start the job anew, should a rank fail now."""
    return max(0, _number("TORCHELASTIC_MAX_RESTARTS", 0) - num_restarts())


def on_cpu(value: Any) -> Any:
    """The same nested value with its tensors in main memory."""
    if hasattr(value, "cpu") and hasattr(value, "detach"):
        return value.detach().cpu()
    if isinstance(value, dict):
        return {key: on_cpu(part) for key, part in cast(dict[Any, Any], value).items()}
    if isinstance(value, list | tuple):
        parts = [on_cpu(part) for part in cast(list[Any], value)]
        return parts if isinstance(value, list) else tuple(parts)
    return value


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, str(default))
    try:
        return int(text)
    except ValueError:
        raise UserError(f"the environment variable {name} must be a whole number, not {text!r}") from None
