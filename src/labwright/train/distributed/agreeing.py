"""What the loop does differently where several ranks run it: they end, and take their steps, together."""

import math
from typing import TYPE_CHECKING, Any

from labwright.loop import NestedLoop
from labwright.loop.nested import DEPTH, NOT_STOPPED, Level

from .world import ALONE, World

if TYPE_CHECKING:
    from ..batch import Loss
    from ..stepper import Stepper

_BATCHES_BETWEEN_MEETINGS = 20
"""While several ranks evaluate: between two questions whether any of them wants to end."""


class AgreeingLoop(NestedLoop):
    """A loop in which nothing ends before all ranks have agreed on it; alone it is any loop."""

    stepper: "Stepper"
    recorder: Any
    is_aside: bool = False
    world: World = ALONE
    """The ranks that train together."""
    agreement: Any = None
    """What several ranks agree on where they meet."""
    parallel_model: Any = None
    """What computes the training loss where several ranks share the work."""
    stop_wish: int = NOT_STOPPED
    """The level that this rank wants to end, until all ranks know."""
    _num_evaluated: int = 0
    _num_batches: int = 0

    def _meet(self, *, is_at_end: bool) -> None:
        """While evaluating, let ranks agree on what any of them wants: now and then, and at the end."""
        if self.agreement is None:
            return
        # The last batch may have too few samples for all ranks; those without do not meet there.
        is_due = self._num_evaluated % _BATCHES_BETWEEN_MEETINGS == 0 and self._num_evaluated < len(self.dataset)
        if is_at_end or is_due:
            self.agreement.meet()
            if is_at_end and not self.is_aside:
                self.recorder.stop.raise_if_asked()

    def agree_by(self, agreement: Any) -> None:
        """Let several ranks agree by `agreement`, at each step and where they meet."""
        self.agreement, self.stop_wish = agreement, NOT_STOPPED
        ranks = self.stepper.ranks
        assert ranks is not None
        ranks.wishes, ranks.heard = agreement.wishes, agreement.heard

    def stop(self, level: Level = "experiment") -> None:
        if self.agreement is None or level not in DEPTH:  # which is refused there
            return super().stop(level)
        self.stop_wish = min(self.stop_wish, DEPTH[level])  # all end it together, where they meet next

    def _is_stopped_by_any(self, level: Level) -> bool:
        """Whether any rank has stopped `level`, asked where all are about to begin or have ended it."""
        if self.agreement is not None:
            self.agreement.meet()
        return self.is_stopped(level)

    def run_experiment(self) -> None:
        if not self._is_stopped_by_any("experiment"):
            super().run_experiment()

    def run_epoch(self) -> None:
        if not self._is_stopped_by_any("epoch"):
            super().run_epoch()

    def pass_over(self, name: str, dataset: Any) -> dict[str, Any]:
        metrics = super().pass_over(name, dataset)
        if not self._is_stopped_by_any("epoch"):
            self._stopped_at = NOT_STOPPED  # a pass that has ended is all that was stopped
        return metrics

    def wished_depth(self) -> int:
        """What this rank wants to end, or has."""
        return min(self.stop_wish, self._stopped_at)

    def stop_at(self, depth: int) -> None:
        """End what all ranks have agreed to end."""
        self._stopped_at, self.stop_wish = min(self._stopped_at, depth), NOT_STOPPED

    def _loss_of_all(self, loss: "Loss") -> float:
        """The loss of the batch in hand: of all ranks, where there are several; all of them must ask."""
        if self.stepper.ranks is None:
            return float(loss.value)
        weight = 0.0 if self._is_borrowed() else loss.weight
        total, weight_of_all = self.world.sum([float(loss.value) * weight if weight else 0.0, weight])
        return total / weight_of_all if weight_of_all else math.nan

    def _is_borrowed(self) -> bool:
        """Whether the batch in hand is another rank's, taken part in for its exchange alone."""
        return self.world.size > 1 and self.dataset.borrows(self._num_batches)
