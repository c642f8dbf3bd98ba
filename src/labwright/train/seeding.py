"""Seeds, and the state of every random number generator a run draws from."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch on every device; NumPy takes the lowest 32 bits."""
    seed_cpu(seed)
    if torch.accelerator.is_available():
        # For kinds that are not there it keeps a note each time, with where it was called: milliseconds, and memory.
        torch.manual_seed(seed)


def rng_state() -> dict[str, Any]:
    """Where every generator stands, in tensors and JSON values."""
    version, words, gauss = random.getstate()
    legacy: Any = np.random.get_state(legacy=False)
    return {
        "python": {"version": version, "words": torch.tensor(words), "gauss": gauss},
        "numpy": {
            "words": torch.from_numpy(legacy["state"]["key"].astype(np.int64)),
            "position": int(legacy["state"]["pos"]),
            "has_gauss": int(legacy["has_gauss"]),
            "gauss": float(legacy["gauss"]),
        },
        "torch": torch.get_rng_state(),
        "accelerator": _accelerator_state(),
    }


def set_rng_state(state: dict[str, Any]) -> None:
    """Put every generator back to where `rng_state` found it.

    The accelerator's part is skipped on a machine with another kind of accelerator, or none.
    """
    python, legacy = state["python"], state["numpy"]
    random.setstate((python["version"], tuple(python["words"].tolist()), python["gauss"]))
    np.random.set_state(
        {
            "bit_generator": "MT19937",
            "state": {"key": legacy["words"].numpy().astype(np.uint32), "pos": legacy["position"]},
            "has_gauss": legacy["has_gauss"],
            "gauss": legacy["gauss"],
        }
    )
    torch.set_rng_state(state["torch"])
    _set_accelerator_state(state["accelerator"])


@contextmanager
def isolated_rng(seed: int) -> Iterator[None]:
    """Inside, Python, NumPy and torch (CPU) draw from `seed`; afterwards they carry on as if nothing had been drawn."""
    python_state, torch_state, numpy_generator = random.getstate(), torch.get_rng_state(), _numpy.get_bit_generator()
    # Exchanging NumPy's generator costs a fraction of a microsecond, copying its state in and out 75. The price: a
    # second normal number that the legacy interface holds in reserve is forgotten.
    _numpy.set_bit_generator(_own_numpy_generator)
    seed_cpu(seed)
    try:
        yield
    finally:
        random.setstate(python_state)
        _numpy.set_bit_generator(numpy_generator)
        torch.set_rng_state(torch_state)


_numpy: Any = np.random  # its stubs leave {get,set}_bit_generator out
_own_numpy_generator = np.random.MT19937(0)


def seed_cpu(seed: int) -> None:
    """`seed_everything` without the accelerators."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.default_generator.manual_seed(seed)


def _accelerator_state() -> dict[str, Any] | None:
    """The generators of each accelerator in use; a GPU that was never touched is not woken up for this."""
    kind = _accelerator_kind()
    if kind is None:
        return None
    module = torch.get_device_module(kind)
    if hasattr(module, "is_initialized") and not module.is_initialized():
        return None
    states = module.get_rng_state_all() if hasattr(module, "get_rng_state_all") else [module.get_rng_state()]
    return {"kind": kind, "states": states}


def _set_accelerator_state(state: dict[str, Any] | None) -> None:
    if state is None or state["kind"] != _accelerator_kind():
        return
    module = torch.get_device_module(state["kind"])
    if not hasattr(module, "get_rng_state_all"):
        module.set_rng_state(state["states"][0])
        return
    for device, generator_state in zip(range(torch.accelerator.device_count()), state["states"], strict=False):
        module.set_rng_state(generator_state, device)


def _accelerator_kind() -> str | None:
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return None if accelerator is None else accelerator.type
