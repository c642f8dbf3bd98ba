"""For the type checker only: what an editor completes on a loop, in an experiment without PyTorch and in a hook."""

from typing import Any, assert_type

from labwright import BareExperiment, ExperimentArgs, Hook, RunResult


class CountArgs(ExperimentArgs):
    """One field of its own."""

    highest: int = 3


class Count(BareExperiment[CountArgs]):
    """An experiment whose args are typed."""

    counted: int

    def run_batch(self) -> None:
        assert_type(self.args, CountArgs)
        assert_type(self.args.highest, int)
        assert_type(self.epoch, int)
        self.counted += 1

    def on_epoch_end(self) -> None:
        assert_type(self.epoch_metrics["train"], dict[str, Any])
        assert_type(self.result, RunResult)


class Watcher(Hook[Count]):
    """A hook that knows its experiment."""

    def on_epoch_end(self, loop: Count) -> None:
        assert_type(loop.args.highest, int)
        assert_type(loop.counted, int)


assert_type(Count(CountArgs()).run(), RunResult)
