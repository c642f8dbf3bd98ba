"""What the metrics of a group share: the batches they wait for, and the states these end up in."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, Protocol
from weakref import ReferenceType, ref

import torch
from torch import Tensor

from .base import Metric
from .groups import Settings
from .readings import READ, find_preds, find_target
from .state import Stateful

_CHUNK_ELEMENTS = 2**20
_MOST_BATCHES = 512  # tiny tensors take more memory than their elements
_STATE = (
    "_gauges",
    "_has_reading",
    "_chunk",
    "_chunk_kind",
    "_num_elements",
    "_is_probability",
    "_num_batches",
    "_has_nan",
)


class Gauge(Protocol):
    """A state over chunks, and the metrics it tells at the end."""

    def update(self, reading: Any) -> None: ...
    def compute(self) -> Mapping[str, Tensor]: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any]) -> None: ...
    def merge(self, others: Sequence[Any], fresh: Any) -> None: ...


GaugeMaker = Callable[[Sequence[str], Settings], list[Gauge]]
"""From the metrics wanted."""


class GroupMetric(Metric):
    """One number of a group. The metrics of one `build_metrics` take every batch in turn, as a `MetricSet` hands it."""

    def __init__(self, name: str, higher_is_better: bool, feed: "Feed", key: str, index: int | None) -> None:
        self.name = name
        self.higher_is_better = higher_is_better
        self._feed, self._key, self._index = feed, key, index
        self._num_batches = 0

    @property
    def taken_with(self) -> object:
        return self._feed

    def update(self, outputs: Mapping[str, Tensor], batch: Mapping[str, Any], weight: float) -> None:
        self._num_batches += 1
        self._feed.take(self._num_batches, outputs, batch)

    def merge(self, others: Sequence[Any], fresh: Any) -> None:
        self._feed.merge([other._feed for other in others], fresh._feed)

    def compute(self) -> float:
        values = self._feed.values()
        if not values:
            return math.nan
        value = values[self._key]
        return (value if self._index is None else value[self._index]).item()


class Feed(Stateful):
    """Collects batches into large chunks on their device and hands these to the gauges.

    The first batch goes on at once: a wrong shape is found there, and not after an epoch.
    """

    def __init__(
        self, group: str, make_gauges: GaugeMaker, settings: Settings, preds: str | None, target: str | None
    ) -> None:
        self.names: list[str] = []
        self._group, self._make_gauges, self._settings = group, make_gauges, settings
        self._preds, self._target = preds, target
        self._has_reading = False
        self._chunk: list[list[Tensor]] = [[], []]
        """Predictions and targets of the batches that wait."""
        self._chunk_kind: object = None
        self._num_elements = 0
        self._is_probability = False
        self._num_batches = 0
        self._last: ReferenceType[Tensor] | None = None
        self._has_nan: Tensor | None = None
        self._values: Mapping[str, Tensor] | None = None
        self._merged: Feed | None = None
        """The first of those that were taken in."""

    def take(self, num_batches: int, outputs: Mapping[str, Any], batch: Mapping[str, Any]) -> None:
        """Take in a batch once, though each metric brings it; `num_batches` is how many this metric brought."""
        preds, is_probability = find_preds(self._group, self._preds, outputs, batch)
        if num_batches <= self._num_batches:
            if num_batches < self._num_batches or self._last is None or self._last() is not preds:
                raise RuntimeError("metrics built together take every batch in turn; build others for other batches")
            return
        self._num_batches, self._last, self._values = num_batches, ref(preds), None
        target = find_target(self._group, self._target, outputs, batch, preds)
        if not len(preds):
            return
        kind = (is_probability, tuple(preds.shape[1:]), tuple(target.shape[1:]))
        if kind != self._chunk_kind:
            self._flush()
            self._chunk_kind, self._is_probability = kind, is_probability
        # Copies: a step may write its outputs to the same memory each time (CUDA graphs).
        for waiting, of_batch in zip(self._chunk, (preds, target), strict=True):
            waiting.append(of_batch.detach().clone())
        self._num_elements += preds.numel()
        if not self._has_reading or self._num_elements >= _CHUNK_ELEMENTS or len(self._chunk[0]) >= _MOST_BATCHES:
            self._flush()

    @torch.inference_mode(False)
    @torch.no_grad()
    def values(self) -> Mapping[str, Tensor]:
        """Every metric so far; empty if there was no batch."""
        if self._values is None:
            self._flush()
            gauges = self._gauges if self._has_reading else ()
            self._values = {name: value for gauge in gauges for name, value in gauge.compute().items()}
            if self._has_nan is not None and self._has_nan.item():
                self._values = {name: torch.full_like(value, math.nan) for name, value in self._values.items()}
        return self._values

    def state_dict(self) -> dict[str, Any]:
        """Where it is in the pass, with the batches that wait: in other chunks sums would be rounded otherwise."""
        return {name: getattr(self, name) for name in _STATE}

    def merge(self, others: Sequence[Any], fresh: Any) -> None:
        if self._merged is others[0]:
            return  # for another of the metrics that it feeds
        self._merged, self._values = others[0], None
        for feed in (self, *others):
            feed._flush()
        with_reading = [other for other in others if other._has_reading]
        for number, gauge in enumerate(self._gauges if with_reading else ()):
            gauge.merge([other._gauges[number] for other in with_reading], fresh._gauges[number])
        self._has_reading = self._has_reading or bool(with_reading)
        for other in others:
            if other._has_nan is not None:
                self._has_nan = other._has_nan if self._has_nan is None else self._has_nan | other._has_nan

    @cached_property
    def _gauges(self) -> list[Gauge]:
        with torch.inference_mode(False):
            return self._make_gauges(self.names, self._settings)

    # Whatever is made under inference_mode could only be changed under inference_mode.
    @torch.inference_mode(False)
    @torch.no_grad()
    def _flush(self) -> None:
        if not self._chunk[0]:
            return
        preds, target = map(torch.cat, self._chunk)
        self._chunk = [[], []]
        self._num_elements = 0
        if preds.is_floating_point():
            has_nan = preds.isnan().any()
            self._has_nan = has_nan if self._has_nan is None else self._has_nan | has_nan
        reading = READ[self._group](self._group, preds, target, self._is_probability, self._settings)
        if not len(reading.target):
            return  # every target was one to ignore
        self._has_reading = True
        for gauge in self._gauges:
            gauge.update(reading)
