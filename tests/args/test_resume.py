"""What changing an argument means for a run that is resumed."""

import math
from typing import Any, Literal

import pytest
from pydantic import Field

from labwright.args import Args, ExperimentArgs
from labwright.args.base import canonical
from labwright.args.resume import Change, changes_since
from labwright.models import CNNArgs, MLPArgs
from labwright.optimizers import AdamArgs, OptimizerUnion


class LabArgs(ExperimentArgs):
    """What a lab may declare."""

    epochs: int = 7
    model: MLPArgs | CNNArgs = MLPArgs()
    extra_models: dict[str, MLPArgs] = {}
    teacher: MLPArgs | None = None
    optimizer: OptimizerUnion = AdamArgs()
    comment: str = Field(default="", json_schema_extra={"resume": "safe"})
    scale: float = math.nan
    hidden: int = Field(default=1, exclude=True)


def changes(before: dict[str, Any], **after: Any) -> list[Change]:
    return changes_since(canonical(LabArgs(**before)), LabArgs(**after))


def test_nothing_changed_is_no_change_also_where_a_value_is_no_number() -> None:
    assert changes({}) == []


@pytest.mark.parametrize(
    ("after", "path", "policy"),
    [
        ({"epochs": 9}, "epochs", "safe"),  # known of the base's field, though the lab gave it another default
        ({"comment": "new"}, "comment", "safe"),
        ({"seed": 1}, "seed", "forbidden"),
        ({"batch_size": 5}, "batch_size", "child"),
        ({"optimizer": AdamArgs(learning_rate=0.5)}, "optimizer.learning_rate", "child"),
        ({"model": MLPArgs(hidden_sizes=[3])}, "model.hidden_sizes", "forbidden"),
        ({"model": CNNArgs()}, "model.kind", "forbidden"),
        ({"teacher": MLPArgs()}, "teacher", "forbidden"),
        ({"extra_models": {"a": MLPArgs()}}, "extra_models", "forbidden"),
        ({"metrics": {"regression": ["mae"]}}, "metrics", "child"),
    ],
)
def test_innermost_word_counts(after: dict[str, Any], path: str, policy: str) -> None:
    assert [(change.path, change.policy) for change in changes({}, **after)] == [(path, policy)]


def test_field_that_is_newer_than_the_run_had_its_default() -> None:
    recorded = canonical(LabArgs())
    del recorded["comment"]
    assert changes_since(recorded, LabArgs()) == []
    assert [str(change) for change in changes_since(recorded, LabArgs(comment="new"))] == ["comment:  -> new"]


def test_word_that_means_nothing_is_refused_when_the_class_is_made() -> None:
    with pytest.raises(TypeError, match="Slip.x: 'saef' is none of safe, child, forbidden"):

        class Slip(Args):
            x: int = Field(default=1, json_schema_extra={"resume": "saef"})

    with pytest.raises(TypeError, match="Part.on_resume: 'never' is none of safe, child, forbidden"):

        class Part(Args):
            kind: Literal["part"] = "part"
            on_resume = "never"
