"""How often a picture is worth redrawing."""

import time
from collections.abc import Callable

_FIRST_COST = 0.6
"""Seconds that a first drawing takes: it loads matplotlib."""


class ThrottledPlot:
    """Redraws at most every `seconds`, and less often when a drawing is slow: it costs at most `share` of the time.

    The interval before a drawing is at least the cost of the one before it divided by `share`, and before the first
    `first_cost` divided by it. So a run shorter than that draws once, by `draw_now` at its end.
    """

    def __init__(
        self,
        seconds: float = 5.0,
        *,
        share: float = 0.01,
        first_cost: float = _FIRST_COST,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.seconds = seconds
        self.share = share
        self._clock = clock
        self._due = clock() + self._interval(first_cost)

    def maybe_draw(self, draw: Callable[[], object]) -> bool:
        """Calls `draw` if it is due, and says whether it did."""
        if self._clock() < self._due:
            return False
        self.draw_now(draw)
        return True

    def draw_now(self, draw: Callable[[], object]) -> None:
        """Calls `draw`, due or not. A drawing that raises is not tried again sooner than one that worked."""
        start = self._clock()
        try:
            draw()
        finally:
            end = self._clock()
            self._due = end + self._interval(end - start)

    def _interval(self, cost: float) -> float:
        return max(self.seconds, cost / self.share)
