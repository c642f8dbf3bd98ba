"""`ExperimentArgs`: the settings every experiment has."""

import pytest
from pydantic import Field, ValidationError

from labwright.args import Args, ExperimentArgs, MachineConfig, RunOptions
from labwright.args.experiment import default_id, refuse_shared_names


class DigitsGanArgs(ExperimentArgs):
    batch_size: int = 16


def test_id_is_the_class_name_unless_it_is_given() -> None:
    assert default_id(DigitsGanArgs) == "digits_gan"
    assert DigitsGanArgs().experiment_id == "digits_gan"
    assert DigitsGanArgs(experiment_id="mine").experiment_id == "mine"
    assert DigitsGanArgs.model_validate(DigitsGanArgs()).experiment_id == "digits_gan"


@pytest.mark.parametrize("bad", ["../up", "a/b", ".hidden", "a b", "-x"])
def test_id_can_name_no_other_folder(bad: str) -> None:
    with pytest.raises(ValidationError):
        DigitsGanArgs(experiment_id=bad)


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": -1},
        {"batch_size": "x"},
        {"early_stopping_patience": 0},
        {"early_stopping_delta": float("inf")},
        {"gradient_clipping": 0},
        {"white_noise_sd": float("nan")},
        {"seed": 2**63},
        {"limit_train_samples": 0},
    ],
)
def test_setting_out_of_range_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        DigitsGanArgs.model_validate(wrong)


def test_stock_schemas_share_no_name_and_no_alias() -> None:
    refuse_shared_names(ExperimentArgs, MachineConfig, RunOptions)

    class Json(Args):
        as_text: str = Field(default="", validation_alias="json")

    with pytest.raises(TypeError, match="Json and RunOptions both have the field json; rename one"):
        refuse_shared_names(Json, RunOptions)
