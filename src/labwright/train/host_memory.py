"""Host memory for a copy of a state: allocated once, used for every checkpoint."""

import mmap
from collections.abc import Sequence

import torch
from torch import Tensor

from labwright.args.errors import UserError
from labwright.runs.sizes import bytes_text

_PAGE_SIZE = 4096
_LARGE_PAGE_SIZE = 2**21
_SPARE = 32
"""One part in so many is left over, for a state that is a little larger in the middle of an epoch."""


class HostCopy:
    """The bytes of some tensors, which may still be on their way from an accelerator."""

    def __init__(self, content: Tensor, events: "Sequence[torch.cuda.Event]") -> None:
        self._content = content
        self._events = events

    def when_complete(self) -> Tensor:
        """The bytes; waits for those on their way."""
        for event in self._events:
            event.synchronize()
        return self._content


class HostMemory:
    """Takes copies of tensors, one set of them at a time; it keeps its size for the next.

    What comes from a GPU goes to pinned memory and is not waited for: the GPU copies it before it computes any further.
    """

    def __init__(self) -> None:
        self._bytes = torch.empty(0, dtype=torch.uint8)

    def reserve(self, num_bytes: int, *, pinned: bool = False) -> None:
        """Have room for that many bytes, its pages in place, so that a copy costs no more than copying.

        Raises:
            UserError: there is not so much memory.
        """
        if self._bytes.numel() < num_bytes:
            self._allocate(num_bytes, pinned)
            self._bytes.numpy()[::_PAGE_SIZE] = 0

    def copy(self, parts: Sequence[tuple[int, Tensor]], num_bytes: int) -> HostCopy:
        """Each tensor's bytes from its start on, `num_bytes` in all. What was copied before is overwritten."""
        devices = {tensor.device for _, tensor in parts if tensor.is_cuda}
        if self._bytes.numel() < num_bytes:
            self._allocate(num_bytes, pinned=bool(devices))
        with torch.no_grad():
            for start, tensor in parts:
                target = self._bytes[start : start + tensor.nbytes].view(tensor.dtype).view(tensor.shape)
                target.copy_(tensor, non_blocking=tensor.is_cuda)
        return HostCopy(self._bytes[:num_bytes], [_event_on(device) for device in devices])

    def release(self) -> None:
        """Give the memory back."""
        self._bytes = torch.empty(0, dtype=torch.uint8)

    def _allocate(self, num_bytes: int, pinned: bool) -> None:
        self.release()
        num_bytes += -(num_bytes + num_bytes // _SPARE) % _LARGE_PAGE_SIZE + num_bytes // _SPARE
        try:
            with torch.inference_mode(False):
                self._bytes = (
                    torch.empty(num_bytes, dtype=torch.uint8, pin_memory=True) if pinned else _pages(num_bytes)
                )
        except (RuntimeError, OSError) as error:
            raise UserError(
                f"there is no memory for a copy of the state ({bytes_text(num_bytes)}) to write while training goes "
                "on; --background_checkpoints=false writes without one"
            ) from error


def _pages(num_bytes: int) -> Tensor:
    """Memory in large pages where the system has them: with small ones the first copy takes five times as long."""
    if not hasattr(mmap, "MADV_HUGEPAGE"):
        return torch.empty(num_bytes, dtype=torch.uint8)
    pages = mmap.mmap(-1, num_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    pages.madvise(mmap.MADV_HUGEPAGE)
    return torch.frombuffer(pages, dtype=torch.uint8)


def _event_on(device: torch.device) -> "torch.cuda.Event":
    """When all that the device has been told so far is done."""
    event = torch.cuda.Event()
    event.record(torch.cuda.current_stream(device))
    return event
