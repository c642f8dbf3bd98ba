"""Random numbers that follow from a seed and a sample alone: whatever its batch, the order, and who works on it."""

from functools import lru_cache
from hashlib import sha256

import torch
from torch import Tensor

_GOLDEN = 0x9E3779B97F4A7C15
_FIRST, _SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_64_BITS = 2**64 - 1
_BITS = 24
"""Of each number: as many as float32 holds exactly."""


class Draws:
    """The random numbers of some samples, by the name of what is drawn.

    Number k of the draw `name` for sample i is mix(mix(seed + (i + 1) g) + hash(name) + (k + 1) g), modulo 2**64: mix
    and g are those of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014), hash the first 64 bits of SHA-256. Nothing is
    drawn one after the other, so the same name gives the same numbers, as often as it is asked for.
    """

    def __init__(self, seed: int | Tensor, samples: Tensor) -> None:
        """`samples` are their numbers, int64 [samples], on the device to draw on; `seed` is one, or one of each."""
        self.num_samples = len(samples)
        self.device = samples.device
        start = seed if isinstance(seed, Tensor) else _signed(seed)
        self._keys = _mix((samples + 1) * _signed(_GOLDEN) + start)

    def uniform(self, name: str, num: int = 1) -> Tensor:
        """Numbers in [0, 1), float32 [samples, num]."""
        return self._bits(name, num).to(torch.float32) * 2.0**-_BITS

    def between(self, name: str, low: float, high: float) -> Tensor:
        """A number in [low, high) for each sample, float32 [samples]."""
        return self.uniform(name).squeeze(1) * (high - low) + low

    def chance(self, name: str, probability: float = 0.5) -> Tensor:
        """Whether it happens to each sample, bool [samples]."""
        return self.uniform(name).squeeze(1) < probability

    def integers(self, name: str, end: int | Tensor) -> Tensor:
        """A whole number from 0 to `end` - 1 for each sample, int64 [samples]; `end` may be one for each."""
        return (self._bits(name, 1).squeeze(1) * end) >> _BITS

    def _bits(self, name: str, num: int) -> Tensor:
        return _shifted(_mix(self._keys[:, None] + _steps(name, num, self.device)), 64 - _BITS)


@lru_cache(maxsize=1024)
def _steps(name: str, num: int, device: torch.device) -> Tensor:
    start = int.from_bytes(sha256(name.encode()).digest()[:8], "big")
    return torch.tensor([_signed(start + (k + 1) * _GOLDEN) for k in range(num)], device=device)


def finest(device: torch.device) -> torch.dtype:
    """The dtype for functions like exp: torch rounds their last bit by where in its tensor a number stands.

    In float64 that is too little to be seen in what comes of it.
    """
    return torch.float32 if device.type == "mps" else torch.float64  # which has no other


def _mix(z: Tensor) -> Tensor:
    """SplitMix64's last step; `z` may be overwritten. Products of int64 keep their lowest 64 bits."""
    z = (z ^ _shifted(z, 30)).mul_(_signed(_FIRST))
    z = (z ^ _shifted(z, 27)).mul_(_signed(_SECOND))
    return z ^ _shifted(z, 31)


def _shifted(z: Tensor, num_bits: int) -> Tensor:
    """`z` moved to the right as if it had no sign."""
    return (z >> num_bits).bitwise_and_((1 << (64 - num_bits)) - 1)


def _signed(number: int) -> int:
    """The int64 with the lowest 64 bits of `number`."""
    number &= _64_BITS
    return number - 2**64 if number >> 63 else number
