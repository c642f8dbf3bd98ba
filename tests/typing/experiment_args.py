"""For the type checker only: what an editor completes on an experiment's args."""

from typing import Literal, assert_type

from labwright.args import Args, ExperimentArgs, parse
from labwright.experiment import Experiment
from labwright.models import MLPArgs


class ThinArgs(Args):
    """A part of the lab's own."""

    kind: Literal["thin"] = "thin"
    width: int = 1
    dropout: float = 0.0


class LabArgs(ExperimentArgs):
    """One field of one class, and one that is a choice."""

    model: MLPArgs = MLPArgs()
    head: MLPArgs | ThinArgs = ThinArgs()


class Lab(Experiment[LabArgs]):
    """An experiment whose args are typed."""

    def sizes(self) -> list[int]:
        assert_type(self.args, LabArgs)
        assert_type(self.args.epochs, int)
        assert_type(self.args.model.hidden_sizes, list[int])
        return self.args.model.hidden_sizes

    def head_width(self) -> int:
        assert_type(self.args.head, MLPArgs | ThinArgs)
        assert_type(self.args.head.dropout, float)
        if isinstance(self.args.head, ThinArgs):
            assert_type(self.args.head.width, int)
            return self.args.head.width
        assert_type(self.args.head, MLPArgs)
        return self.args.head.hidden_sizes[0]


assert_type(parse(LabArgs, ["--epochs=3"]), LabArgs)
assert_type(parse(LabArgs).model.hidden_sizes, list[int])
