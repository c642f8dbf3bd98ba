"""What a trial of a run works in: a folder that goes when it ends, and a recorder that keeps nothing."""

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from labwright.args import ExperimentArgs
from labwright.runs import RunDirectory, disk_errors, write_durably
from labwright.runs.state_files import compare_states
from labwright.runs.terminal import Terminal

from .recorder import Recorder

if TYPE_CHECKING:
    from labwright.bare import BareExperiment

T = TypeVar("T")


class Rehearsal:
    """In the place of a run's recorder: of each set one batch passes, and nothing is told to anybody."""

    def __init__(self, folder: Path) -> None:
        self.directory = RunDirectory(folder)
        self.terminal = Terminal()

    @classmethod
    def of(cls, experiment: "BareExperiment[ExperimentArgs]", folder: Path) -> Path:
        """Let `experiment` rehearse in `folder`, and return that."""
        experiment.recorder = cast(Recorder, cls(folder))
        return folder

    def watch(self, batches: Iterable[T], num_batches: int | None, split: str) -> Iterator[T]:
        """The first batch."""
        return islice(batches, 1)

    def num_rows(self) -> dict[str, Any]:
        """No file has any."""
        return {}


@contextmanager
def scratch_folder(results_dir: Path) -> Iterator[Path]:
    """A folder on the disk that runs are written to, which is gone after the block."""
    existing = results_dir.expanduser().resolve()
    while not existing.exists():
        existing = existing.parent
    with disk_errors(existing):
        folder = tempfile.TemporaryDirectory(dir=existing, prefix=".preflight-")
    with folder as path:
        yield Path(path)


def save_state(experiment: "BareExperiment[ExperimentArgs]", path: Path, **others: Any) -> Path:
    """Write the experiment's state, and `others`, as a checkpoint has it, but for how far the run has come.

    Raises:
        TypeError: something in it has no form in a checkpoint.
    """
    write_durably(path, experiment.encode_state({**experiment.state_dict(), **others}))
    return path


def difference(one: Path, other: Path) -> str | None:
    """What differs first between two states, the cause before its consequences; None: they are the same bits."""
    differing = compare_states(one, other).differing
    by_cause = sorted(differing, key=lambda name: (not name.startswith("batches"), not name.startswith("rng")))
    return next(iter(by_cause), None)
