import os
import pickle
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from labwright.train import (
    EMA,
    CheckpointError,
    Stepper,
    flatten_state,
    load_from_checkpoint,
    load_into,
    load_weights,
    model_bytes,
)


def mlp(hidden: int = 4) -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, hidden), nn.ReLU(), nn.Linear(hidden, 2))


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Linear(3, 3, bias=False)
        self.decoder = nn.Linear(3, 3, bias=False)
        self.decoder.weight = self.encoder.weight


class Network(nn.Module):
    def __init__(self, body_width: int = 4) -> None:
        super().__init__()
        self.body = mlp(body_width)
        self.head = nn.Linear(2, 2)


def assert_same_weights(a: nn.Module, b: nn.Module) -> None:
    assert a.state_dict().keys() == b.state_dict().keys()
    assert all(value.equal(b.state_dict()[name]) for name, value in a.state_dict().items())


def test_a_saved_model_is_loaded_without_labwright(tmp_path: Path) -> None:
    model, other = mlp(), mlp()
    (tmp_path / "model.safetensors").write_bytes(model_bytes(model))
    other.load_state_dict(safetensors.torch.load_file(tmp_path / "model.safetensors"))
    assert_same_weights(model, other)


def test_a_model_with_tied_weights_is_loaded_without_labwright(tmp_path: Path) -> None:
    model, other = Tied(), Tied()
    (tmp_path / "model.safetensors").write_bytes(model_bytes(model))
    other.load_state_dict(safetensors.torch.load_file(tmp_path / "model.safetensors"))
    assert_same_weights(model, other)


def test_saving_leaves_the_model_as_it_was() -> None:
    model = Tied()
    model_bytes(model)
    assert model.decoder.weight is model.encoder.weight


def test_weights_of_a_saved_model_a_checkpoint_and_a_pt_file_are_the_same(tmp_path: Path) -> None:
    model = mlp()
    state = model.state_dict()
    (tmp_path / "model.safetensors").write_bytes(model_bytes(model))
    checkpoint = {"epoch": 3, "optimizer": {"state": {0: torch.ones(2)}}, "model": state}
    (tmp_path / "step_00000100.safetensors").write_bytes(flatten_state(checkpoint))
    safetensors.torch.save_file(state, tmp_path / "foreign.safetensors")
    torch.save(state, tmp_path / "plain.pt")
    torch.save(state, tmp_path / "old_format.pth", _use_new_zipfile_serialization=False)
    for wrapper in ("model", "state_dict", "model_state_dict"):
        torch.save({"epoch": 3, wrapper: state}, tmp_path / f"{wrapper}.pt")
    files = sorted(tmp_path.iterdir())
    assert len(files) == 8
    for file in files:
        weights = load_weights(file)
        assert list(weights) == list(state) or file.name == "foreign.safetensors", file
        assert weights.keys() == state.keys(), file
        assert all(weights[name].equal(state[name]) for name in state), file


def test_weights_saved_on_a_gpu_load_on_a_machine_without_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """T: checkpoints loaded only on CUDA machines."""
    model = mlp()
    with monkeypatch.context() as patch:
        patch.setattr(torch.serialization, "location_tag", lambda storage: "cuda:0")
        torch.save(model.state_dict(), tmp_path / "from_gpu.pt")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RuntimeError, match="CUDA device"):
        torch.load(tmp_path / "from_gpu.pt", weights_only=True)
    other = mlp()
    load_into(other, load_weights(tmp_path / "from_gpu.pt"), "from_gpu.pt")
    assert_same_weights(model, other)


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("name", ["model.pt", "model.safetensors"])
@pytest.mark.parametrize("archive", [False, True])
def test_a_pickle_posing_as_a_checkpoint_is_not_executed(tmp_path: Path, name: str, archive: bool) -> None:
    trap = {"weight": Trap(tmp_path / "sprung")}
    if archive:
        torch.save(trap, tmp_path / name)
    else:
        (tmp_path / name).write_bytes(pickle.dumps(trap))
    with pytest.raises(CheckpointError, match=f"{name}: not loaded: .*could run any code") as error:
        load_weights(tmp_path / name)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "sprung").exists()


def test_a_whole_pickled_model_is_refused(tmp_path: Path) -> None:
    torch.save(mlp(), tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match=r"save the model's state_dict\(\) alone"):
        load_weights(tmp_path / "model.pt")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"epoch,loss\n1,0.5\n", "model.pt: "),
        (b"\x10\x00\x00\x00\x00\x00\x00\x00{}", "not a complete safetensors file"),
        (b"PK\x03\x04 and no more", "cannot be read as weights"),
    ],
)
def test_a_file_that_holds_no_weights_is_named_in_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "model.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as error:
        load_weights(tmp_path / "model.pt")
    assert str(error.value).startswith(str(tmp_path / "model.pt"))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.99])
@pytest.mark.parametrize("kind", ["pt", "safetensors"])
def test_a_truncated_file_is_refused_in_one_line(tmp_path: Path, kind: str, keep: float) -> None:
    file = tmp_path / f"model.{kind}"
    file.write_bytes(model_bytes(mlp(50))) if kind == "safetensors" else torch.save(mlp(50).state_dict(), file)
    file.write_bytes(file.read_bytes()[: int(keep * file.stat().st_size)])
    with pytest.raises(CheckpointError, match=file.name) as error:
        load_weights(file)
    assert "\n" not in str(error.value)


def test_a_missing_file_and_a_directory_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="No such file"):
        load_weights(tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match="cannot be read: Is a directory"):
        load_weights(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"epoch": 3, "loss": 0.5}, "its keys are epoch, loss"),
        (torch.ones(2), "a Tensor"),
        ({0: torch.ones(2)}, "dict"),
    ],
)
def test_a_file_without_a_state_dict_says_what_it_holds(tmp_path: Path, content: object, message: str) -> None:
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match=f"holds no state dict.*{message}"):
        load_weights(tmp_path / "model.pt")


def test_weights_of_another_model_are_refused_with_the_keys_and_shapes_that_differ() -> None:
    weights = mlp(8).state_dict() | {"3.weight": torch.ones(1)}
    del weights["2.bias"]
    with pytest.raises(CheckpointError) as error:
        load_into(mlp(4), weights, "runs/a")
    assert str(error.value) == (
        "runs/a: the weights do not fit Sequential: missing 2.bias; unexpected 3.weight; "
        "shapes differ: 0.weight is [8, 3] there, [4, 3] in the model, 0.bias is [8] there, [4] in the model, "
        "2.weight is [2, 8] there, [2, 4] in the model"
    )


def test_a_long_list_of_differences_is_cut() -> None:
    with pytest.raises(CheckpointError, match=r"missing 0\.weight, 0\.bias, .* and 15 more$"):
        load_into(nn.Sequential(*[nn.Linear(1, 1) for _ in range(10)]), {}, "runs/a")


def test_a_file_that_names_tied_weights_once_fits(tmp_path: Path) -> None:
    model, other = Tied(), Tied()
    safetensors.torch.save_model(model, str(tmp_path / "tied.safetensors"))
    load_into(other, load_weights(tmp_path / "tied.safetensors"), "tied.safetensors")
    assert_same_weights(model, other)


@pytest.mark.parametrize("returns_average", [True, False])
def test_checkpoint_of_an_averaged_run_gives_all_names_of_tied_weights_what_the_run_returned(
    tmp_path: Path, returns_average: bool
) -> None:
    model = Tied()
    model.register_buffer("mask", torch.ones(3), persistent=False)  # averaged with the rest, but never saved
    optimizer, stepper = torch.optim.SGD(model.parameters(), lr=0.5), Stepper(device=torch.device("cpu"))
    ema = EMA(model, decay=0.5)
    stepper.attach(optimizer, ema=ema)
    stepper.update(model.decoder(model.encoder(torch.ones(2, 3))).square().mean(), optimizer)
    state = {"model": model.state_dict(), "returns_average": returns_average, "stepper": stepper.state_dict()}
    (tmp_path / "best.safetensors").write_bytes(flatten_state(state))
    if returns_average:
        ema.copy_to(model)
    (tmp_path / "model.safetensors").write_bytes(model_bytes(model))

    returned, other = load_weights(tmp_path / "model.safetensors"), Tied()
    read = load_weights(tmp_path / "best.safetensors")
    assert read.keys() == returned.keys() and all(value.equal(returned[name]) for name, value in read.items())
    load_into(other, read, "best.safetensors")
    assert other.decoder.weight is other.encoder.weight
    assert_same_weights(other, model)


def test_weights_take_the_precision_of_the_model() -> None:
    model = mlp().double()
    load_into(model, mlp().half().state_dict(), "half.pt")
    assert all(parameter.dtype == torch.float64 for parameter in model.parameters())


class TestLoadFromCheckpoint:
    @pytest.fixture
    def files(self, tmp_path: Path) -> dict[str, nn.Module]:
        """A whole model, a body and a head, saved under their names in `tmp_path`."""
        modules: dict[str, nn.Module] = {"whole": Network(), "body": mlp(), "head": nn.Linear(2, 2)}
        for name, module in modules.items():
            (tmp_path / name).write_bytes(model_bytes(module))
        return modules

    def test_a_whole_model(self, files: dict[str, nn.Module], tmp_path: Path) -> None:
        model = Network()
        load_from_checkpoint(model, "whole", lambda name: tmp_path / name)
        assert_same_weights(model, files["whole"])

    def test_submodules_from_a_file_of_their_own_or_of_a_whole_model(
        self, files: dict[str, nn.Module], tmp_path: Path
    ) -> None:
        model = Network()
        load_from_checkpoint(model, {"body": "whole", "head": "head"}, lambda name: tmp_path / name)
        assert_same_weights(model.body, files["whole"].get_submodule("body"))
        assert_same_weights(model.head, files["head"])

    def test_what_is_not_named_stays_as_it_is(self, files: dict[str, nn.Module], tmp_path: Path) -> None:
        model = Network()
        before = {name: value.clone() for name, value in model.head.state_dict().items()}
        load_from_checkpoint(model, {"body": "body"}, lambda name: tmp_path / name)
        assert all(value.equal(before[name]) for name, value in model.head.state_dict().items())

    def test_an_unknown_submodule_is_refused_with_those_there_are(self) -> None:
        with pytest.raises(CheckpointError, match="no submodule 'tail'; it has body, body.0, .*, head"):
            load_from_checkpoint(Network(), {"tail": "whole"}, Path)

    def test_a_submodule_of_another_shape_is_refused(self, files: dict[str, nn.Module], tmp_path: Path) -> None:
        with pytest.raises(CheckpointError, match=r"^whole, for body: .*0\.weight is \[4, 3\] there, \[9, 3\] in"):
            load_from_checkpoint(Network(9), {"body": "whole"}, lambda name: tmp_path / name)


def test_a_model_whose_submodule_is_called_model_is_not_taken_for_a_checkpoint(tmp_path: Path) -> None:
    module = nn.ModuleDict({"model": nn.Linear(1, 1)})
    (tmp_path / "model.safetensors").write_bytes(model_bytes(module))
    weights: dict[str, Tensor] = load_weights(tmp_path / "model.safetensors")
    assert list(weights) == ["model.weight", "model.bias"]
