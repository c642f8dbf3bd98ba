"""The largest batch that fits into memory, and the speed of each size on the way there.

    double until one does not fit  ->  halve the gap until it is small

On an accelerator a size does not fit where memory is refused. On a CPU nobody waits for that: what a size will take is
foreseen from the sizes before it, and a fence refuses what was not foreseen.
"""

import gc
import math
import time
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from labwright.args import ExperimentArgs, RunOptions, UserError
from labwright.args.tools import BatchFindOptions
from labwright.runs.sizes import bytes_text, count_text
from labwright.train.system_memory import is_out_of_memory, process_memory

from ..prepare import prepare
from .memory import Peak, fenced, memory_limit
from .steps import prepared, training_steps

if TYPE_CHECKING:
    from labwright.bare import BareExperiment
    from labwright.experiment import Experiment

_FINENESS = 0.1
"""How much larger than the largest that fits the smallest may be that does not."""
_NEARLY_FASTEST = 0.95
_MORE = "give more with --memory_limit"
_FEWEST_STEPS = 3
"""Two to set things up, optimizer states among them, and one to measure."""


@dataclass
class Tried:
    """What came of a batch size."""

    batch_size: int
    fits: bool
    is_foreseen: bool = False
    """Whether it was not tried: the sizes before it say that it will not fit."""
    peak_bytes: int | None = None
    """The most memory; where it was foreseen what it would be."""
    samples_per_second: float | None = None
    cpu_seconds_per_sample: float | None = None


@dataclass
class BatchSizes:
    """Each size that was tried, in order of size."""

    experiment_id: str
    limit_bytes: int
    num_samples: int
    """Of the training set: no batch is larger."""
    process_bytes: int | None = None
    """What the process had before the first batch; None where memory is that of an accelerator."""
    tried: list[Tried] = field(default_factory=list[Tried])

    @property
    def largest(self) -> Tried | None:
        """The largest that fits."""
        return max((each for each in self.tried if each.fits), key=lambda each: each.batch_size, default=None)

    @property
    def fastest(self) -> Tried | None:
        """The smallest that is about as fast as the fastest."""
        paces = {each.batch_size: each.samples_per_second or 0.0 for each in self.tried if each.fits}
        enough = _NEARLY_FASTEST * max(paces.values(), default=0.0)
        fitting = [each for each in self.tried if each.fits and paces[each.batch_size] >= enough]
        return min(fitting, key=lambda each: each.batch_size, default=None)

    def summary(self) -> str:
        """The answers, a line each."""
        largest, fastest = self.largest, self.fastest
        if largest is None or fastest is None:
            return self._why_none_fits()
        is_last = all(each.fits for each in self.tried)
        end = f" (none larger was tried; there are {count_text(self.num_samples, 'sample')})" if is_last else ""
        return (
            f"largest that fits: --batch_size={largest.batch_size}{end}\n"
            f"smallest within 5 % of the fastest: --batch_size={fastest.batch_size} "
            f"({fastest.samples_per_second:,.0f} samples/s)"
        )

    def _why_none_fits(self) -> str:
        limit = bytes_text(self.limit_bytes)
        if self.process_bytes is not None and self.process_bytes >= self.limit_bytes:
            process = bytes_text(self.process_bytes)
            return f"no batch fits: {limit} may be used, and the process takes {process} before the first; " + _MORE
        if any(each.batch_size == 1 for each in self.tried):
            return f"not even a single sample fits into {limit}; {_MORE}"
        return f"no batch fits into {limit}; try a smaller one with --smallest_batch, or {_MORE}"

    def to_json(self) -> dict[str, Any]:
        """With the answers; None where no size fits."""
        answers = {"largest": self.largest, "fastest": self.fastest}
        return asdict(self) | {name: each and each.batch_size for name, each in answers.items()}


def find_batch_size(
    experiment: "BareExperiment[ExperimentArgs]",
    options: BatchFindOptions | None = None,
    tell: Callable[[Tried], None] = lambda tried: None,
) -> BatchSizes:
    """Train a few steps with ever larger batches; `tell` hears of each. `experiment` and its parts stay as they are.

    Raises:
        UserError: it does not train with PyTorch, batch by batch, or a run would be refused.
    """
    options = options or BatchFindOptions()
    with _quick_collections(), prepared(experiment) as (tried, name, *_):
        num_samples = len(tried.splits.train[name])
        limit = int(options.memory_limit) if options.memory_limit is not None else memory_limit(tried.device)
        before = process_memory() if tried.device.type == "cpu" else None
        found = BatchSizes(experiment.args.experiment_id, limit, num_samples, before)
        splits = tried.splits
        tried.build_datasets = lambda: splits  # the data is read once
        trial = _Trial(tried, name, limit, options.seconds)
        last = min(options.largest_batch or num_samples, num_samples)
        first = options.smallest_batch or min(experiment.args.batch_size, last)
        if first > last:
            end = f"the training set, of {num_samples:,} samples" if last == num_samples else f"--largest_batch={last}"
            raise UserError(f"--smallest_batch={first} is larger than {end}")

        def fits(size: int) -> bool:
            found.tried.append(trial.of(size))
            tell(found.tried[-1])
            return found.tried[-1].fits

        _search(fits, first, last)
    found.tried.sort(key=lambda each: each.batch_size)
    return found


@contextmanager
def _quick_collections() -> Generator[None]:
    """A block in which the garbage collector, asked after each trial, does not look at what was there before."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _search(fits: Callable[[int], bool], first: int, last: int) -> None:
    """Ask of sizes whether they fit, until the largest is known to within a tenth."""
    size, largest, too_large = first, 0, last + 1
    while size < too_large:
        if not fits(size):
            too_large = size
        else:
            largest, size = size, min(2 * size, last) if size < last else last + 1
    while largest and too_large <= last and too_large - largest > max(1, int(_FINENESS * largest)):
        size = (largest + too_large) // 2
        if fits(size):
            largest = size
        else:
            too_large = size


class _Trial:
    """Trains with one batch size after the other."""

    def __init__(self, experiment: "Experiment[ExperimentArgs]", name: str, limit: int, seconds: float) -> None:
        self._experiment = experiment
        self._name = name
        self._limit = limit
        self._seconds = seconds
        self._num_samples = len(experiment.splits.train[name])
        self._limit_samples = experiment.args.limit_train_samples
        self._peak = Peak(experiment.device)
        self._known: list[tuple[int, int]] = []
        """Sizes that fitted, and the memory that each took."""

    def of(self, size: int) -> Tried:
        """What comes of a size."""
        foreseen = self._foreseen(size)
        if foreseen is not None and foreseen > self._limit:
            return Tried(size, fits=False, is_foreseen=True, peak_bytes=foreseen)
        try:
            with fenced(self._experiment.device, self._limit):
                return self._train(size)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        finally:
            self._clean_up()
        return Tried(size, fits=False)

    def _train(self, size: int) -> Tried:
        experiment = self._experiment
        self._peak.restart()
        recorder, hooks = experiment.recorder, experiment.hooks
        alone = self._num_samples % size == 1  # a last sample by itself is refused where batches are normalized
        changes = {"batch_size": size, "limit_train_samples": self._num_samples - 1 if alone else self._limit_samples}
        experiment.args = experiment.args.model_copy(update=changes)
        prepare(experiment, RunOptions(checkpoint_every_seconds=None))
        experiment.recorder, experiment.hooks = recorder, hooks
        num_samples, num_steps, begun = 0, 0, time.perf_counter()
        started, cpu = begun, time.process_time()
        with closing(training_steps(experiment, self._name)) as steps:
            for step in steps:
                num_steps += 1
                now = time.perf_counter()
                if num_steps < _FEWEST_STEPS:
                    started, cpu = now, time.process_time()
                    continue
                num_samples += step.num_samples
                if now - begun > self._seconds:
                    break
        wall, cpu = time.perf_counter() - started, time.process_time() - cpu
        peak = self._peak.read()
        if peak is not None:
            self._known.append((size, peak))
        fits = peak is None or peak <= self._limit
        return Tried(size, fits, False, peak, num_samples / wall, cpu / num_samples)

    def _foreseen(self, size: int) -> int | None:
        """What a larger size will take, on the line through the two largest known; only a CPU needs to know before."""
        if self._experiment.device.type != "cpu" or not self._known:
            return None
        *_, (large, much) = self._known = sorted(self._known)
        if len(self._known) == 1 or size <= large:
            return None
        small, less = self._known[-2]
        return much + max(0, math.ceil((much - less) / (large - small) * (size - large)))

    def _clean_up(self) -> None:
        """Let go of what a trial has made."""
        experiment = self._experiment
        for name in ("batch", "batch_loss", "model", "optimizers", "schedulers", "stepper", "ema", "loaders"):
            vars(experiment).pop(name, None)
        gc.collect()
        if experiment.device.type != "cpu":
            torch.accelerator.empty_cache()
