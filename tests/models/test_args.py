import subprocess
import sys

import pytest
from pydantic import BaseModel, ValidationError

from labwright.args import Args, UserError
from labwright.models import CNN, MLP, CNNArgs, MLPArgs, ModelArgs, ModelUnion


class Choice(Args):
    model: ModelUnion = MLPArgs()


def test_kind_chooses_the_model() -> None:
    assert Choice.model_validate({"model": {"kind": "cnn", "channels": [4]}}).model == CNNArgs(channels=[4])


def test_args_build_the_model_they_describe() -> None:
    assert isinstance(MLPArgs().build((1, 28, 28), 10), MLP)
    assert isinstance(CNNArgs().build((1, 28, 28), 10), CNN)


def test_every_setting_reaches_the_model() -> None:
    mlp = str(MLPArgs(hidden_sizes=[7], activation="tanh", batch_norm=True, dropout=0.25).build((3,), 2))
    assert all(part in mlp for part in ("out_features=7", "Tanh()", "BatchNorm1d(7", "Dropout(p=0.25"))
    cnn = str(CNNArgs(channels=[5], kernel_size=7, hidden_size=11, activation="gelu", dropout=0.25).build((1, 8, 8), 2))
    assert all(part in cnn for part in ("Conv2d(1, 5, kernel_size=(7", "out_features=11", "GELU(", "Dropout(p=0.25"))


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "mlp", "hidden_sizes": [64, 0]},
        {"kind": "mlp", "hidden_sizes": [-1]},
        {"kind": "mlp", "dropout": 1.0},
        {"kind": "mlp", "dropout": float("nan")},
        {"kind": "mlp", "activation": "rleu"},
        {"kind": "mlp", "channels": [4]},
        {"kind": "cnn", "channels": []},
        {"kind": "cnn", "kernel_size": 4},
        {"kind": "cnn", "hidden_size": 0},
    ],
)
def test_impossible_models_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError) as refusal:
        Choice.model_validate({"model": values})
    assert refusal.value.error_count() == 1


def test_cnn_on_a_table_is_one_clear_line() -> None:
    with pytest.raises(
        UserError, match=r"cnn needs images .* have shape \[10\]; the model mlp takes any shape"
    ) as error:
        CNNArgs().build((10,), 1)
    assert "\n" not in str(error.value)


def test_a_model_without_build_cannot_be_made() -> None:
    class Unfinished(ModelArgs):
        pass

    with pytest.raises(TypeError, match="build"):
        Unfinished()  # pyright: ignore[reportAbstractUsage]


@pytest.mark.parametrize("args", [MLPArgs, CNNArgs])
def test_every_field_says_what_it_does(args: type[BaseModel]) -> None:
    assert args.__doc__ and "\n" not in args.__doc__
    assert all(field.description for name, field in args.model_fields.items() if name != "kind")


def test_describing_a_model_does_not_import_torch() -> None:
    code = "import sys; from labwright.models import CNNArgs; CNNArgs(); print('torch' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"
