"""Which datasets lie in the accelerator's memory."""

from typing import Any, Literal

import torch

from labwright.args.errors import UserError

OnDevice = bool | Literal["auto"]
_SHARE = 0.25
"""Of the memory that is free: the rest is for gradients, moments and what the model makes of a batch."""


class Placement:
    """Moves datasets to `device`, each once; those that say `num_bytes` and have a `to(device)` can be moved.

    auto    those that take at most a quarter of the memory that is free there
    true    all of them; a UserError names one that cannot be moved
    false   none

    On the CPU there is nothing to move.
    """

    def __init__(self, device: torch.device, on_device: OnDevice = "auto") -> None:
        self.device = device
        self.on_device = on_device
        self.names: list[str] = []
        """Of those that were moved."""
        self._placed: dict[int, tuple[Any, Any]] = {}

    def place(self, dataset: Any, name: str) -> Any:
        """The dataset, or the same one on the device."""
        if self.device.type == "cpu" or self.on_device is False:
            return dataset
        if id(dataset) not in self._placed:
            self._placed[id(dataset)] = dataset, self._moved(dataset, name)
        placed = self._placed[id(dataset)][1]
        if placed is not dataset and name not in self.names:
            self.names.append(name)
        return placed

    def _moved(self, dataset: Any, name: str) -> Any:
        num_bytes = getattr(dataset, "num_bytes", None)
        if num_bytes is None:
            if self.on_device == "auto":
                return dataset
            raise UserError(
                f"--dataset.on_device=true: {name} ({type(dataset).__name__}) is not made of tensors that could be "
                "moved; auto leaves it where it is"
            )
        free = _free_bytes(self.device)
        if self.on_device == "auto" and (free is None or num_bytes > _SHARE * free):
            return dataset
        try:
            return dataset.to(self.device)
        except torch.OutOfMemoryError as error:
            has = "" if free is None else f", which has {free / 1e9:.1f} GB free"
            raise UserError(
                f"--dataset.on_device=true: the {num_bytes / 1e9:.1f} GB of {name} do not fit on {self.device}{has}; "
                "auto leaves them where they are"
            ) from error


def _free_bytes(device: torch.device) -> int | None:
    """The memory that is free there; None where the device does not say."""
    ask = getattr(torch.get_device_module(device), "mem_get_info", None)
    return None if ask is None else int(ask(device)[0])
