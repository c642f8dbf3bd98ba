"""`NestedLoop`: experiment -> epoch -> dataset -> batch, for any framework. `Hook` draws the order of events."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, Literal

from .hook import Hook

Level = Literal["experiment", "epoch", "dataset", "batch"]
DEPTH: dict[Level, int] = {"experiment": 0, "epoch": 1, "dataset": 2, "batch": 3}
NOT_STOPPED = 4


class NestedLoop:
    """Override `datasets`, `run_batch`, and whatever else you need: each rung can be replaced alone.

    Metrics rise from level to level: `batch_metrics` (numbers, tensors: anything with + and *) are averaged into
    `dataset_metrics` by `batch_weight`, these are collected in `epoch_metrics`, and these in `experiment_metrics`.
    """

    num_epochs: int = 1
    hooks: Sequence[Hook[Any]] = ()
    epoch: int = 0
    dataset_name: str = ""
    dataset: Any = None
    batch: Any = None
    batch_weight: float = 1.0
    batch_metrics: dict[str, Any]
    dataset_metrics: dict[str, Any]
    epoch_metrics: dict[str, dict[str, Any]]
    experiment_metrics: dict[int, dict[str, dict[str, Any]]]
    metrics_before: Mapping[str, dict[str, Any]] = {}
    """Of an epoch that is taken up where it was interrupted: its datasets that are done, and their metrics."""
    _stopped_at = NOT_STOPPED
    _sums: dict[str, tuple[Any, float]]

    def datasets(self) -> Mapping[str, Any]:
        """The datasets of an epoch by name, in order."""
        raise NotImplementedError(f"{type(self).__name__} needs datasets()")

    def batches(self, dataset: Any) -> Iterable[Any]:
        """The batches of a dataset: by default the dataset is what gives them."""
        return dataset

    def run_loop(self) -> None:
        """The whole loop, from `on_experiment_start` to `on_experiment_end`, or to `on_exception`."""
        self._stopped_at, self.experiment_metrics, self.epoch_metrics = NOT_STOPPED, {}, {}
        try:
            self.on_experiment_start()
            for hook in self.hooks:
                hook.on_experiment_start(self)
            if not self.is_stopped("experiment"):
                self.run_experiment()
            for hook in reversed(self.hooks):
                hook.on_experiment_end(self)
            self.on_experiment_end()
        except BaseException as error:
            with ExitStack() as last_to_first:  # each hears of it, also where another one fails at that
                last_to_first.callback(self.on_exception, error)
                for hook in self.hooks:
                    last_to_first.callback(hook.on_exception, self, error)
                raise

    def run_experiment(self) -> None:
        """Epoch after epoch, from the one after `self.epoch` on."""
        while self.epoch < self.num_epochs and not self.is_stopped("experiment"):
            self.epoch, self.epoch_metrics, self.metrics_before = self.epoch + 1, dict(self.metrics_before), {}
            self.on_epoch_start()
            for hook in self.hooks:
                hook.on_epoch_start(self)
            if not self.is_stopped("epoch"):
                self.run_epoch()
            for hook in reversed(self.hooks):
                hook.on_epoch_end(self)
            self.on_epoch_end()
            self.experiment_metrics[self.epoch] = self.epoch_metrics
            self.between_epochs()
            if self._stopped_at == DEPTH["epoch"]:
                self._stopped_at = NOT_STOPPED
        self._stopped_at = NOT_STOPPED

    def run_epoch(self) -> None:
        """A pass over each dataset."""
        remaining = {name: dataset for name, dataset in self.datasets().items() if name not in self.epoch_metrics}
        for name, dataset in remaining.items():
            self.epoch_metrics[name] = self.pass_over(name, dataset)
            if self.is_stopped("epoch"):
                break

    def pass_over(self, name: str, dataset: Any) -> dict[str, Any]:
        """One dataset from its start to its end; its metrics."""
        self.dataset_name, self.dataset, self.dataset_metrics, self._sums = name, dataset, {}, {}
        self.on_dataset_start()
        for hook in self.hooks:
            hook.on_dataset_start(self)
        if not self.is_stopped("dataset"):
            self.run_dataset()
        means = {key: total / weight for key, (total, weight) in self._sums.items() if weight}
        scalars = {key: float(mean) for key, mean in means.items() if getattr(mean, "ndim", 0) == 0}
        self.dataset_metrics = self.dataset_metrics | means | scalars | self.dataset_metrics
        for hook in reversed(self.hooks):
            hook.on_dataset_end(self)
        self.on_dataset_end()
        if self._stopped_at == DEPTH["dataset"]:
            self._stopped_at = NOT_STOPPED
        return self.dataset_metrics

    def run_dataset(self) -> None:
        """Batch after batch. Override it to set `self.dataset_metrics` in one go, without batches."""
        starts, ends = self._batch_listeners()
        between = list(filter(_is_overridden, [self.between_batches]))
        for batch in self.batches(self.dataset):
            self.batch, self.batch_metrics, self.batch_weight = batch, {}, 1.0
            for tell in starts:
                tell()
            if self._stopped_at == NOT_STOPPED:
                self.run_batch()
            for tell in ends:
                tell()
            self.collect_batch()
            for act in between:
                act()
            if self._stopped_at <= DEPTH["dataset"]:
                break
            self._stopped_at = NOT_STOPPED

    def run_batch(self) -> None:
        """What to do with `self.batch`; sets `self.batch_metrics` and their `self.batch_weight`."""
        raise NotImplementedError(f"{type(self).__name__} needs run_batch()")

    def collect_batch(self) -> None:
        """Add the batch's metrics to the dataset's means; nothing here waits for a device."""
        for name, value in self.batch_metrics.items():
            total, weight = self._sums.get(name, (0.0, 0.0))
            self._sums[name] = total + value * self.batch_weight, weight + self.batch_weight

    def between_batches(self) -> None:
        """Called when a batch is done with: the moment to keep what there is, or to end by an exception."""

    def between_epochs(self) -> None:
        """Called when an epoch is done with, after everybody has heard of its end."""

    def stop(self, level: Level = "experiment") -> None:
        """End `level` and all within it at the next opportunity: nothing more begins, what has begun gets its end."""
        if level not in DEPTH:
            raise ValueError(f"there is no level {level!r} to stop; the levels are {', '.join(DEPTH)}")
        self._stopped_at = min(self._stopped_at, DEPTH[level])

    def is_stopped(self, level: Level) -> bool:
        """Whether `level`, or one around it, was told to stop."""
        return self._stopped_at <= DEPTH[level]

    def _batch_listeners(self) -> tuple[list[Callable[[], None]], list[Callable[[], None]]]:
        """Whom to tell of the start and the end of a batch: only who overrides that."""
        starts = [self.on_batch_start, *(partial(hook.on_batch_start, self) for hook in self.hooks)]
        ends = [*(partial(hook.on_batch_end, self) for hook in reversed(self.hooks)), self.on_batch_end]
        return list(filter(_is_overridden, starts)), list(filter(_is_overridden, ends))

    def on_experiment_start(self) -> None: ...
    def on_epoch_start(self) -> None: ...
    def on_dataset_start(self) -> None: ...
    def on_batch_start(self) -> None: ...
    def on_batch_end(self) -> None: ...
    def on_dataset_end(self) -> None: ...
    def on_epoch_end(self) -> None: ...
    def on_experiment_end(self) -> None: ...
    def on_exception(self, error: BaseException) -> None: ...


def _is_overridden(method: Any) -> bool:
    nothing = [cls.__dict__[f"on_batch_{when}"] for cls in (Hook, NestedLoop) for when in ("start", "end")]
    nothing.append(NestedLoop.between_batches)
    return getattr(getattr(method, "func", method), "__func__", None) not in nothing
