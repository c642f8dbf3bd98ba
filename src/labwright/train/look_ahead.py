"""Batches that are on their way before they are asked for: pinned by a thread, copied to the device by a stream."""

from collections.abc import Callable, Iterator
from queue import SimpleQueue
from threading import Thread
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .batch import Batch, PlacedBatch, to_device


def made_ahead(batches: Iterator[Batch]) -> Iterator[Batch]:
    """The batches, each made by a thread while the caller works on the one before."""
    device = torch.accelerator.current_device_index()
    is_wanted: SimpleQueue[bool] = SimpleQueue()
    made: SimpleQueue[tuple[Batch | None, BaseException | None]] = SimpleQueue()

    def make() -> None:
        torch.accelerator.set_device_index(device)  # a new thread would wake up the first one
        while is_wanted.get():
            try:
                made.put((next(batches, None), None))
            except BaseException as error:
                made.put((None, error))

    Thread(target=make, daemon=True).start()
    try:
        is_wanted.put(True)
        while True:
            batch, error = made.get()
            if error is not None:
                raise error
            if batch is None:
                return
            is_wanted.put(True)
            yield batch
    finally:
        is_wanted.put(False)


def pinned(value: Any) -> Any:
    """Tensors where an accelerator copies them from while it computes."""
    if isinstance(value, Tensor):
        return value.pin_memory()
    if isinstance(value, dict):
        return {key: pinned(part) for key, part in value.items()}
    if isinstance(value, list) and value and isinstance(value[0], Tensor):
        return [pinned(part) for part in value]
    return value


def copied_ahead(
    batches: Iterator[Batch], device: torch.device, finish: Callable[[Batch], Batch]
) -> Iterator[PlacedBatch]:
    """The batches on `device`; the copy of each is under way before the one before it is handed out.

    `finish` is given a batch there, on the stream that computes. What goes wrong with a batch is raised in its turn:
    the one before it is not lost.
    """
    module = torch.get_device_module(device)
    stream = module.Stream(device)
    sent = _send(batches, device, stream)
    while True:
        if sent.error is not None:
            raise sent.error
        if sent.batch is None:
            return
        batch, index, arrival = sent.batch, sent.index, sent.arrival
        sent = _send(batches, device, stream)
        computing = module.current_stream(device)
        computing.wait_event(arrival)
        _keep_for(batch, computing)
        yield PlacedBatch(finish(batch), index)


class _Sent(NamedTuple):
    batch: Batch | None
    """On its way to the device; None: there is none any more."""
    index: Any = None
    arrival: Any = None
    error: BaseException | None = None


def _send(batches: Iterator[Batch], device: torch.device, stream: Any) -> _Sent:
    """Begin to copy the next batch."""
    try:
        batch = next(batches, None)
    except BaseException as error:
        return _Sent(None, error=error)
    if batch is None:
        return _Sent(None)
    with torch.get_device_module(device).stream(stream):
        return _Sent(to_device(batch, device, non_blocking=True), batch["index"], stream.record_event())


def _keep_for(value: Any, stream: Any) -> None:
    """Memory that the copying stream was given is not given to it again before `stream` is done with it."""
    if isinstance(value, Tensor):
        value.record_stream(stream)
    elif isinstance(value, dict):
        for part in value.values():
            _keep_for(part, stream)
    elif isinstance(value, list) and value and isinstance(value[0], Tensor):
        for part in value:
            _keep_for(part, stream)
