"""What a trial of a run works in: a folder that goes when it ends, and a recorder that keeps nothing."""

import copy
import random
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from labwright.args import ExperimentArgs
from labwright.runs import RunDirectory, disk_errors
from labwright.runs.durable import write_payload
from labwright.runs.proof.state_files import compare_states
from labwright.runs.terminal import Terminal
from labwright.train.loop import TrainLoop

from ..recorder import Recorder

if TYPE_CHECKING:
    from labwright.bare import BareExperiment
    from labwright.experiment import Experiment

T = TypeVar("T")
_MOST_BYTES = 2**22
"""Larger arrays are data more likely than something that is counted up."""


class Rehearsal:
    """In the place of a run's recorder: of each set one batch passes, and nothing is told to anybody."""

    def __init__(self, folder: Path) -> None:
        self.directory = RunDirectory(folder)
        self.terminal = Terminal()

    def watch(self, batches: Iterable[T], num_batches: int | None, split: str) -> Iterator[T]:
        """The first batch."""
        return islice(batches, 1)

    def num_rows(self) -> dict[str, Any]:
        """No file has any."""
        return {}


def rehearse(experiment: "BareExperiment[ExperimentArgs]", folder: Path) -> None:
    """From now on `experiment` keeps what it writes in `folder`, and no hook hears of anything."""
    experiment.recorder, experiment.hooks = cast(Recorder, Rehearsal(folder)), ()


def as_tried(experiment: "BareExperiment[ExperimentArgs]") -> "Experiment[ExperimentArgs] | None":
    """The experiment, if it is one for PyTorch whose batches go the usual way, so that single ones can be tried."""
    kind = type(experiment)
    if not isinstance(experiment, TrainLoop):
        return None
    is_usual = kind.run_dataset is TrainLoop.run_dataset and kind.run_batch is TrainLoop.run_batch
    return cast("Experiment[ExperimentArgs]", experiment) if is_usual else None


def work_on_copies(experiment: "BareExperiment[ExperimentArgs]") -> None:
    """Give `experiment` copies of what it counts, collects and draws from, so that the originals stay as they are."""
    attributes = vars(experiment)
    attributes.update({name: _working_copy(value) for name, value in attributes.items()})
    for name in ("artifacts", "best", "early_stopping"):
        if name in attributes:
            attributes[name] = copy.deepcopy(attributes[name])


def put_back(experiment: "BareExperiment[ExperimentArgs]", attributes: dict[str, Any]) -> None:
    """End what the experiment has begun, and give it its attributes."""
    close_workers(experiment)
    vars(experiment).clear()
    vars(experiment).update(attributes)


def close_workers(experiment: "BareExperiment[ExperimentArgs]") -> None:
    """End the worker processes of all loaders, and with them what their datasets remember."""
    for loader in vars(experiment).get("loaders", {}).values():
        if hasattr(loader, "close"):
            loader.close()


def _working_copy(value: Any) -> Any:
    """A copy of a container, a generator, a small array or tensor; parts, data and all else as it is."""
    if isinstance(value, dict | list | deque):
        twin = copy.copy(value)
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            twin[key] = _working_copy(item)
        return twin
    if isinstance(value, set | random.Random | np.random.Generator | np.random.RandomState):
        return copy.deepcopy(value)
    if hasattr(value, "clone_state"):  # a generator of torch, which some experiments do without
        return value.clone_state()
    is_small = getattr(value, "nbytes", _MOST_BYTES) < _MOST_BYTES
    is_value = isinstance(value, np.ndarray) or (hasattr(value, "clone") and not value.requires_grad)
    return copy.deepcopy(value) if is_small and is_value else value


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
    content = experiment.encode_state({**experiment.state_dict(), **others})
    with disk_errors(path), path.open("w+b") as file:  # `write_durably` would wait for the disk: this is read once
        write_payload(file, content)
    return path


def difference(one: Path, other: Path) -> str | None:
    """What differs first between two states, the cause before its consequences; None: they are the same bits."""
    differing = compare_states(one, other).differing
    by_cause = sorted(differing, key=lambda name: (not name.startswith("batches"), not name.startswith("rng")))
    return next(iter(by_cause), None)
