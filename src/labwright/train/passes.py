"""A pass as far as it has come: taken down for a checkpoint, taken up from one, and summed up over the ranks."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from .distributed.agreeing import AgreeingLoop
from .distributed.world import on_cpu

if TYPE_CHECKING:
    import torch

    from labwright.runs import Artifacts

    from .batch import Batch, Loss


class Meter(Protocol):
    """Averages over a split: the loss and every metric."""

    def update(self, loss: "Loss", batch: "Batch") -> None: ...
    def compute(self) -> dict[str, float]: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any], device: Any) -> None: ...
    def merge(self, others: Sequence[Any], fresh: Any) -> None: ...


class PassLoop(AgreeingLoop):
    """What a pass has measured, of this rank and of all."""

    device: "torch.device"
    meter: Meter
    _num_measured: int
    _num_artifacts: dict[str, int]

    if TYPE_CHECKING:  # what an experiment adds
        artifacts: Artifacts
        interrupted: dict[str, Any] | None

        def take_up_again(self) -> None: ...
        def new_meter(self) -> Meter: ...
        def _require_finite_weights(self) -> None: ...
        def _count_seconds(self) -> None: ...

    def _place(self) -> dict[str, Any]:
        """The pass in hand, and what the passes of this epoch before it came to."""
        return {
            "dataset": self.dataset_name,
            "num_batches": 0,
            "epoch_metrics": dict(self.epoch_metrics),
            "artifacts": self._num_artifacts,
        }

    def _place_in_pass(self) -> dict[str, Any]:
        """How far the pass has come."""
        self._require_finite_weights()
        self._count_seconds()
        measured = self._measured()
        return {
            "num_batches": self._num_batches,
            **measured,
            "ranks": self.world.gather(measured)[1:],
            "dataset_metrics": {name: _packed(value) for name, value in self.dataset_metrics.items()},
            "artifacts": self.artifacts.counts(),
        }

    def _measured(self) -> dict[str, Any]:
        """What this rank has measured of the pass."""
        return {
            "num_measured": self._num_measured,
            "meter": self.meter.state_dict(),
            "sums": {name: (_packed(total), weight) for name, (total, weight) in self._sums.items()},
        }

    def _take_up_pass(self) -> None:
        """Go on in the middle of the pass, where this is the one that was interrupted.

        What was done to the state at the start of the epoch and of the pass was done before it was kept.
        """
        place = self.interrupted
        if place is None or place["dataset"] != self.dataset_name or self.is_aside:
            return
        self.take_up_again()
        if not place["num_batches"]:
            return
        self._num_batches = place["num_batches"]
        self._take_up_measured(place)
        self.dataset_metrics = {name: _unpacked(value, self.device) for name, value in place["dataset_metrics"].items()}

    def _take_up_measured(self, place: dict[str, Any]) -> None:
        """Each rank goes on with what it had measured; with other ranks than before, rank 0 does with all of it."""
        of_others: list[dict[str, Any]] = place.get("ranks", [])
        if len(of_others) + 1 == self.world.size:
            return self._load_measured([place, *of_others][self.world.rank])
        if self.world.is_main:
            self._load_measured(place)
            self._add_measured(of_others)

    def _load_measured(self, measured: dict[str, Any]) -> None:
        self._num_measured = measured["num_measured"]
        self.meter.load_state_dict(measured["meter"], self.device)
        sums = measured["sums"].items()
        self._sums = {name: (_unpacked(total, self.device), weight) for name, (total, weight) in sums}

    def _add_measured(self, of_others: list[dict[str, Any]]) -> None:
        meters: list[Meter] = []
        for measured in of_others:
            self._num_measured += measured["num_measured"]
            meter = self.new_meter()
            meter.load_state_dict(measured["meter"], self.device)
            meters.append(meter)
            for name, (total, weight) in measured["sums"].items():
                before, weight_before = self._sums.get(name, (0.0, 0.0))
                self._sums[name] = before + _unpacked(total, self.device), weight_before + weight
        self.meter.merge(meters, self.new_meter())

    def _take_metrics(self) -> None:
        if self.world.size > 1:
            return self._take_metrics_of_all()
        if self._num_measured:
            self.dataset_metrics |= self.meter.compute()

    def _take_metrics_of_all(self) -> None:
        """The metrics of what all ranks have measured, on every rank."""
        gathered = self.world.gather(self._measured())

        def merged() -> tuple[dict[str, float], dict[str, Any]]:
            self._add_measured(gathered[1:])
            return (self.meter.compute() if self._num_measured else {}), on_cpu(self._sums)

        metrics, self._sums = self.world.on_main(merged)
        self.dataset_metrics |= metrics


def _packed(value: Any) -> Any:
    """A value that somebody measured as a checkpoint can hold it: arrays of other frameworks as tensors, marked."""
    import numpy as np
    import torch

    if isinstance(value, torch.Tensor) or not hasattr(value, "__array__"):
        return value
    return {"array": torch.from_numpy(np.array(value))}


def _unpacked(value: Any, device: Any) -> Any:
    if isinstance(value, dict):
        return value["array"].numpy()[()]
    return value.to(device) if hasattr(value, "to") else value
