"""Where the time of a training step goes: clocks around what the loop calls, while they are wanted and no longer."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

DATA, FORWARD, BACKWARD, OPTIMIZER = "data", "forward", "backward", "optimizer"
METRICS, HOOKS, REST = "metrics", "hooks", "the rest"
PHASES = (DATA, FORWARD, BACKWARD, OPTIMIZER, METRICS, HOOKS, REST)


@dataclass
class Spent:
    """What a phase took, in seconds."""

    wall: float = 0.0
    cpu: float = 0.0
    """Of all threads of the process."""
    device: float | None = None
    """Between its first and its last operation on the accelerator; None on a CPU."""


class Clock:
    """Adds up time by phase. What a phase within a phase takes belongs to the inner one alone.

    On an accelerator marks are put between the operations, and read when all is done: nothing waits for them.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._spent = {name: Spent() for name in PHASES}
        self._open: list[str] = []
        self._wall = self._cpu = 0.0
        self._marks: list[tuple[str | None, torch.Event]] = []

    def enter(self, name: str) -> None:
        self._turn()
        self._open.append(name)

    def leave(self) -> None:
        self._turn()
        self._open.pop()

    def spent(self) -> dict[str, Spent]:
        """What each phase has taken; waits for the device."""
        if self._marks:
            torch.accelerator.synchronize()
        for (_, begin), (name, end) in zip(self._marks, self._marks[1:], strict=False):
            if name is not None:
                spent = self._spent[name]
                spent.device = (spent.device or 0.0) + begin.elapsed_time(end) / 1000
        self._marks.clear()
        return self._spent

    def _turn(self) -> None:
        """What has passed since the last turn was the innermost phase's."""
        wall, cpu = time.perf_counter(), time.process_time()
        name = self._open[-1] if self._open else None
        if name is not None:
            spent = self._spent[name]
            spent.wall += wall - self._wall
            spent.cpu += cpu - self._cpu
        if self._device.type != "cpu":
            mark = torch.Event(self._device, enable_timing=True)
            mark.record()
            self._marks.append((name, mark))
        self._wall, self._cpu = time.perf_counter(), time.process_time()


class Taps:
    """Methods that were replaced by ones that tell of their begin and end; `remove` puts everything back."""

    def __init__(self, enter: Callable[[str], None], leave: Callable[[], None]) -> None:
        self._enter = enter
        self._leave = leave
        self._undo: list[Callable[[], None]] = []

    def replace(self, owner: Any, name: str, method: Any) -> None:
        """Let `owner`, and no other object, have `method` under this name."""
        attributes = vars(owner)
        if name in attributes:
            before = attributes[name]
            self._undo.append(lambda: attributes.update({name: before}))
        else:
            self._undo.append(lambda: attributes.pop(name, None))
        attributes[name] = method

    def tap(self, owner: Any, name: str, phase: str) -> None:
        """From now on a call of this method is told as a phase, if its owner can be given another one."""
        if not hasattr(owner, "__dict__"):
            return
        method = getattr(owner, name)

        def told(*given: Any, **named: Any) -> Any:
            self._enter(phase)
            try:
                return method(*given, **named)
            finally:
                self._leave()

        self.replace(owner, name, told)

    def remove(self) -> None:
        while self._undo:
            self._undo.pop()()

    def told(self, values: Iterator[Any], phase: str) -> Iterator[Any]:
        """The values; waiting for each is told as a phase."""
        while True:
            self._enter(phase)
            try:
                value = next(values)
            except StopIteration:
                return
            finally:
                self._leave()
            yield value
