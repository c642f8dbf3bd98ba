"""How the process computes for as long as a block lasts: tiny numbers, and products of 32-bit matrices.

Both are settings of the process or of its threads, so each block puts back what it found.
"""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, TypeAlias

import numpy as np
import torch

MatmulPrecision: TypeAlias = Literal["highest", "high", "medium"]

_PAUSE_SOFT = 1  # omp_pause_resource_t: its threads may go, its settings stay


@contextmanager
def flushed_denormals(wanted: bool = True) -> Iterator[None]:
    """Within, the CPU takes numbers below the smallest normal one (1.2e-38 in 32 bits) for zero, if `wanted`.

    Those cost many times what others do, and the moments of an optimizer decay into them wherever a weight gets no
    gradient for long. What does not reach the smallest normal number becomes 0.

    The setting is one of each thread, and threads have it from the one that starts them. So torch's own, which may
    have been started before the block, are ended at both of its ends; torch starts others when it needs them.
    """
    before = is_flushing()
    for dtype in (np.float32, np.float64):
        np.finfo(dtype)  # older NumPy warns where it is asked first while denormals are flushed
    _flush(wanted)
    try:
        yield
    finally:
        _flush(before)


def can_flush() -> bool:
    """Whether this CPU can take denormal numbers for zero."""
    before = is_flushing()
    can = torch.set_flush_denormal(True)
    torch.set_flush_denormal(before)
    return can


def is_flushing() -> bool:
    """Whether this thread takes denormal numbers for zero."""
    return sys.float_info.min / 2 == 0.0


@contextmanager
def matmul_precision(precision: MatmulPrecision) -> Iterator[None]:
    """Within, products of 32-bit matrices are as exact as `torch.set_float32_matmul_precision` says of `precision`."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def _flush(wanted: bool) -> None:
    torch.set_flush_denormal(wanted)
    _end_openmp_threads()


def _end_openmp_threads() -> None:
    """End the threads that this one has OpenMP work with; they come again with the settings of this one.

    GNU's OpenMP, which torch has on Linux, hands a setting on only when it starts a thread; LLVM's and Intel's do so
    with each piece of work, and need no end.
    """
    pause = getattr(ctypes.CDLL(torch._C.__file__), "omp_pause_resource_all", None)
    if pause is not None:
        pause(_PAUSE_SOFT)
