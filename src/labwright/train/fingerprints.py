"""`Fingerprinter`: takes the fingerprint of each optimizer step while training."""

import math
import zlib
from typing import Any, TypeAlias, cast

import torch
from torch import Tensor

from labwright.runs.proof.fingerprints import LOOK_EVERY, Fingerprint, FingerprintLog

from .batch import Batch

Number: TypeAlias = Tensor | float
_Samples: TypeAlias = list[tuple[Any, Any]]
"""`index` and `source` of each batch of a window."""
_Steps: TypeAlias = list[tuple[Number, Number]]
"""Loss and norm of each optimizer's step in a window."""
_WINDOWS_AT_ONCE = 64
"""So many are read together: one by one each would find the processor's caches cold, at three times the cost."""
_MOST_SAMPLES = 2**18
"""No more are held back for that."""
_ROWS_AT_ONCE = 1024
"""So many are written together, their numbers fetched from an accelerator in one transfer."""


class Fingerprinter:
    """Tell it each batch before it goes to the device, each step of the stepper, and when the window is closed.

        stepper.on_step = fingerprinter.add_step
        for batch in stepper.each(loader):
            fingerprinter.add_batch(batch)
            ...
            if stepper.closes_window:
                fingerprinter.close_window(step, epoch, loss)

    No device is waited for but once in a thousand steps. Randomness is that of torch, on the CPU and on `device`, and
    looked at every 16 steps; the generators of Python and NumPy would cost ten times as much to look at. So is the norm
    of the gradients, by the stepper's `norm_every_n_steps`.
    """

    def __init__(self, log: FingerprintLog, device: torch.device | None = None) -> None:
        self.log = log
        self._gpu_generator = _generator_of(device)
        self._samples: _Samples = []
        self._steps: _Steps = []
        self._windows: list[tuple[int, int, _Samples, _Steps]] = []
        self._rows: list[tuple[int, int, int, _Steps]] = []
        self._num_samples = 0

    def add_batch(self, batch: Batch) -> None:
        """The samples of a batch join those of the window: its `index` and `source`, as far as they are there."""
        if len(self._windows) >= _WINDOWS_AT_ONCE or self._num_samples > _MOST_SAMPLES:
            self._read()
            if len(self._rows) >= _ROWS_AT_ONCE:
                self._write()
        index = batch.get("index")
        self._samples.append((index, batch.get("source")))
        if isinstance(index, Tensor):
            self._num_samples += index.numel()

    def add_step(self, loss: Number, norm: Number | None) -> None:
        """An optimizer has taken or left out a step; where several do in one window, they make one fingerprint.

        A norm that was not measured is NaN in it.

        So does a step that comes after the last window, as those of some optimizers do at the end of an epoch.
        """
        steps = self._windows[-1][3] if self._windows and not self._samples else self._steps
        steps.append((loss, math.nan if norm is None else norm))

    def close_window(self, step: int, epoch: int, loss: Number) -> None:
        """The window is the fingerprint of this step. `loss` stands in where its steps were not the stepper's."""
        randomness = self._randomness() if step % LOOK_EVERY == 1 else 0
        self._windows.append((epoch, randomness, self._samples, self._steps or [(_kept(loss), 0.0)]))
        self._samples, self._steps = [], []

    def flush(self) -> None:
        """Hand all closed windows to the log, for a checkpoint that counts on them; an open one was given up."""
        self._samples, self._steps = [], []
        self._read()
        self._write()

    def close(self) -> None:
        """Write what there is and close the file."""
        self._read()
        self._write()
        self.log.close()

    def _randomness(self) -> int:
        place = zlib.crc32(torch.default_generator.get_state().numpy().data)
        if self._gpu_generator is None:
            return place
        return zlib.crc32(f"{self._gpu_generator.initial_seed()} {self._gpu_generator.get_offset()}".encode(), place)

    def _read(self) -> None:
        """Make rows of the windows, of whose numbers some may still be on an accelerator."""
        self._rows += [(epoch, _checksum(samples), place, steps) for epoch, place, samples, steps in self._windows]
        self._windows.clear()
        self._num_samples = 0

    def _write(self) -> None:
        fetched = _fetched([steps for *_, steps in self._rows])
        rows = [
            Fingerprint(epoch, order, place, *_merged(steps))
            for (epoch, order, place, _), steps in zip(self._rows, fetched, strict=True)
        ]
        if rows:
            self.log.append(rows)
        self._rows.clear()


def _generator_of(device: torch.device | None) -> torch.Generator | None:
    """The generator of a GPU, whose place is known without asking the GPU."""
    if device is None or device.type != "cuda":
        return None
    index = torch.cuda.current_device() if device.index is None else device.index
    return torch.cuda.default_generators[index]


def _checksum(samples: _Samples) -> int:
    """CRC-32 of which samples these are; positions that are on an accelerator are left out, one would have to wait."""
    order = 0
    for index, source in samples:
        if isinstance(index, Tensor):
            if index.is_cpu:
                order = zlib.crc32(index.contiguous().numpy().data, order)
        elif index is not None:
            order = zlib.crc32(repr(index).encode(), order)
        if source is not None:
            order = zlib.crc32(_joined(source).encode("utf-8", "surrogateescape"), order)
    return order


def _joined(source: object) -> str:
    if isinstance(source, list):
        try:
            return "\0".join(source)
        except TypeError:  # they are no texts
            pass
    return repr(source)


def _kept(loss: Number) -> Number:
    """Without its graph, and safe from whoever computes the next one in the same memory."""
    return loss.detach().clone() if isinstance(loss, Tensor) else loss


def _fetched(windows: list[_Steps]) -> "list[list[tuple[float, float]]]":
    """The steps in Python numbers; those on a device in one transfer."""
    waiting = [number for steps in windows for step in steps for number in step if isinstance(number, Tensor)]
    if not waiting:
        return cast(list[list[tuple[float, float]]], windows)
    device = waiting[0].device
    read = iter(torch.stack([number.reshape(()).to(device, torch.float32) for number in waiting]).tolist())

    def number_of(number: Number) -> float:
        return next(read) if isinstance(number, Tensor) else number

    return [[(number_of(loss), number_of(norm)) for loss, norm in steps] for steps in windows]


def _merged(steps: list[tuple[float, float]]) -> tuple[float, float]:
    """The sum of the losses, and the norm of all gradients together."""
    if len(steps) == 1:
        return steps[0]
    return sum(loss for loss, _ in steps), math.hypot(*(norm for _, norm in steps))
