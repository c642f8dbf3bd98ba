"""How much memory training takes, how much there is, and a fence that refuses more before the system kills."""

import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

from labwright.args import UserError
from labwright.train import peak_memory_bytes
from labwright.train.system_memory import free_memory, process_data, process_memory, process_peak

_SHARE = 0.9
"""Of what is free: a run needs some for what it does besides training."""


class Peak:
    """The most memory that is used from the last `restart` on: of the accelerator, or of the process on a CPU."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def restart(self) -> None:
        """Forget what was used before, where the system can: elsewhere the peak never falls."""
        if self._device.type != "cpu":
            torch.accelerator.reset_peak_memory_stats()
            return
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")

    def read(self) -> int | None:
        """In bytes; None where nobody counts it."""
        peak = process_peak() if self._device.type == "cpu" else None
        return peak_memory_bytes(self._device) if peak is None else peak


def memory_limit(device: torch.device) -> int:
    """What training may use on `device`: 90 % of what is free now and what this process has already.

    Raises:
        UserError: on this system nobody says how much is free.
    """
    if device.type != "cpu":
        free, _ = torch.accelerator.get_memory_info()
        return int(_SHARE * (free + torch.accelerator.memory_reserved()))
    free = free_memory()
    if free is None:
        raise UserError("this system does not say how much memory is free; give --memory_limit, such as 8GB")
    return int(_SHARE * (free + (process_memory() or 0)))


@contextmanager
def fenced(device: torch.device, limit: int) -> Generator[None]:
    """A block in which what would take more than `limit` bytes is refused, as an error that `is_out_of_memory` knows.

    On a CPU the fence is the system's limit of a process's data, which holds what is asked for and not yet used, too.
    """
    if device.type == "cuda":
        total = torch.cuda.get_device_properties(device).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, limit / total))
        try:
            yield
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)
    elif device.type == "cpu" and sys.platform == "linux":
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
        room = max(0, limit - (process_memory() or 0))
        wanted = (process_data() or 0) + room
        most = min([each for each in (soft, hard, wanted) if each != resource.RLIM_INFINITY])
        resource.setrlimit(resource.RLIMIT_DATA, (most, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
    else:
        yield
