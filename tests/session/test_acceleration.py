"""What the args say of speed is done, is in run.json, and leaves nothing behind in the process."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from labwright.args import MachineConfig, RunOptions, UserError
from labwright.datasets import DigitsDataArgs
from labwright.experiment import Experiment
from labwright.models import CNNArgs
from labwright.session.acceleration import accelerate
from labwright.train import Batch, Loss
from labwright.train.arithmetic import is_flushing
from labwright.train.cuda_graphs import GraphedForward
from labwright.train.freed_memory import can_keep

from ..conftest import RUN_PY, Ended
from ..points import Points, PointsArgs

pytestmark = pytest.mark.usefixtures("no_pictures")


class ImagesArgs(PointsArgs):
    """A few real digits, to convolve."""

    epochs: int = 1
    limit_train_samples: int | None = 96
    dataset: DigitsDataArgs = DigitsDataArgs()


class Images(Points):
    def build_datasets(self) -> Any:
        return Experiment.build_datasets(self)


def chosen(run: Any) -> dict[str, Any]:
    return json.loads((run.run_dir / "run.json").read_bytes())["chosen"]


def weights(run: Any) -> dict[str, torch.Tensor]:
    return load_file(run.run_dir / "model.safetensors")


def images(folder: Path, **fields: Any) -> Images:
    args = ImagesArgs(model=CNNArgs(channels=[4], hidden_size=8), **fields)
    return Images(args, MachineConfig(results_dir=folder, cache_dir=folder / "cache", use_cuda=False))


def test_run_says_what_was_chosen(make: Callable[..., Points]) -> None:
    found = chosen(make().run())
    assert found["channels_last"] is found["compile"] is found["cuda_graphs"] is False
    assert found["flush_denormals"] is True and found["matmul_precision"] == "highest"
    assert found["keep_freed_memory"] is can_keep()


def test_run_computes_as_the_args_say_and_the_process_as_before(make: Callable[..., Points]) -> None:
    class Asked(Points):
        said: list[Any] = []

        def train_batch(self, batch: Batch) -> Loss:
            self.said.append((is_flushing(), torch.get_float32_matmul_precision()))
            return super().train_batch(batch)

        def eval_batch(self, batch: Batch) -> Loss:
            self.said.append((is_flushing(), torch.get_float32_matmul_precision()))
            return super().eval_batch(batch)

    make(Asked, epochs=1).run()
    assert {*Asked.said} == {(True, "highest")}
    Asked.said.clear()
    make(Asked, epochs=1, flush_denormals=False, matmul_precision="high").run()
    assert {*Asked.said} == {(False, "high")}
    assert not is_flushing() and torch.get_float32_matmul_precision() == "highest"


def test_run_that_fails_leaves_the_process_as_it_was(make: Callable[..., Points]) -> None:
    class Failing(Points):
        def train_batch(self, batch: Batch) -> Loss:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        make(Failing, matmul_precision="medium").run()
    assert not is_flushing() and torch.get_float32_matmul_precision() == "highest"


OFF = [{"flush_denormals": False}, {"keep_freed_memory": False}, {"matmul_precision": "high"}, {"cuda_graphs": "auto"}]


@pytest.mark.parametrize("off", OFF)
def test_without_an_optimisation_the_weights_are_the_same_bits(
    make: Callable[..., Points], off: dict[str, Any]
) -> None:
    one, other = weights(make().run()), weights(make(**off).run())
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.skipif(not can_keep(), reason="memory is not glibc's")
def test_freed_memory_is_kept_while_there_is_room_and_a_line_says_when_there_is_no_more(
    make: Callable[..., Points], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Watched(Points):
        kept: list[bool] = []

        def on_epoch_end(self) -> None:
            assert self.freed_memory is not None
            self.kept.append(self.freed_memory.is_kept)

    monkeypatch.setattr("labwright.train.freed_memory.process_peak", lambda: 0)

    def num_lines(run: Any) -> int:
        return (run.run_dir / "log.txt").read_text().count("memory has become short")

    assert num_lines(make(Watched, epochs=1).run()) == 0 and Watched.kept == [True]
    monkeypatch.setattr("labwright.train.freed_memory.free_memory", lambda: 0)
    monkeypatch.setattr("labwright.train.freed_memory._SECONDS", 0.0)
    experiment = make(Watched, epochs=2)
    assert num_lines(experiment.run()) == 1
    assert Watched.kept == [True, False, False] and experiment.freed_memory is None


def test_freed_memory_is_not_kept_where_that_is_switched_off(make: Callable[..., Points]) -> None:
    class Watched(Points):
        kept: list[Any] = []

        def on_epoch_end(self) -> None:
            self.kept.append(self.freed_memory)

    make(Watched, epochs=1, keep_freed_memory=False).run()
    assert Watched.kept == [None]


def test_stock_convolutions_are_channels_last_and_others_where_asked_for(tmp_path: Path) -> None:
    runs = {wanted: images(tmp_path, channels_last=wanted).run() for wanted in ("auto", True, False)}
    assert [chosen(run)["channels_last"] for run in runs.values()] == [True, True, False]
    one, other = weights(runs["auto"]), weights(runs[False])
    for name in one:
        torch.testing.assert_close(one[name], other[name], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_run_with_convolutions_repeats_itself_and_resumes_to_the_bit(tmp_path: Path) -> None:
    straight, again = (images(tmp_path, epochs=2).run() for _ in range(2))
    begun = images(tmp_path, epochs=1).run()
    resumed = images(tmp_path, epochs=2).run(RunOptions(resume=str(begun.run_dir)))
    for other in (again, resumed):
        assert all(torch.equal(value, weights(other)[name]) for name, value in weights(straight).items())


@pytest.mark.slow
def test_run_goes_on_in_another_layout(tmp_path: Path) -> None:
    straight = images(tmp_path, epochs=2).run()
    begun = images(tmp_path, epochs=1, channels_last=False).run()
    resumed = images(tmp_path, epochs=2, channels_last=True).run(RunOptions(resume=str(begun.run_dir)))
    assert resumed.run_dir == begun.run_dir
    for name, value in weights(straight).items():
        torch.testing.assert_close(value, weights(resumed)[name], rtol=1e-4, atol=1e-5)


def test_what_cannot_be_had_is_refused_before_there_is_a_run(command_line: Callable[..., Ended]) -> None:
    digits = ("--experiment_id=digits", "--use_cuda=false")
    assert "no CUDA graphs on cpu" in command_line(*digits, "--cuda_graphs=true").error
    assert "no convolutions" in (ended := command_line(*digits, "--channels_last=true")).error
    assert ended.runs == []


def test_no_compiler_is_one_line(command_line: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    ended = command_line("--experiment_id=digits", "--use_cuda=false", "--compile")
    assert "no-such-compiler, which is not there" in ended.error and ended.runs == []


def test_experiment_without_torch_refuses_them(command_line: Callable[..., Ended]) -> None:
    for flag in ("--compile", "--no-flush_denormals", "--no-keep_freed_memory", "--matmul_precision=high"):
        ended = command_line("--experiment_id=sklearn_baselines", flag)
        assert "does not use it; leave it out" in ended.error


def test_compilation_that_fails_in_a_run_is_one_line(
    make: Callable[..., Points], monkeypatch: pytest.MonkeyPatch
) -> None:
    class BackendFailed(RuntimeError):
        __module__ = "torch._inductor.exc"

    class Failing(Points):
        def compute_loss(self, batch: Batch) -> Loss:
            raise BackendFailed("no room for kernels\n\nSet TORCHDYNAMO_VERBOSE=1 for more")

    for name in ("require_compiler", "compile_in_place"):
        monkeypatch.setattr(f"labwright.session.acceleration.{name}", lambda _: None)
    monkeypatch.setattr("labwright.session.acceleration.compiled", lambda function: function)
    with pytest.raises(UserError, match="^--compile: torch.compile fails: no room for kernels; leave --compile out$"):
        make(Failing, compile=True).run()


class OwnLoss(Points):
    def compute_loss(self, batch: Batch) -> Loss:
        return super().compute_loss(batch)


def ready(experiment: Points, num_units: int = 4) -> Points:
    """As it is when its model has come to a GPU."""
    experiment.device, experiment.chosen = torch.device("cuda"), {}
    experiment.model = nn.Sequential(nn.Linear(2, num_units), nn.Linear(num_units, 2))
    return experiment


def test_small_models_that_take_a_plain_step_are_graphed_on_a_gpu(make: Callable[..., Points]) -> None:
    for experiment, is_graphed in (
        (ready(make(cuda_graphs="auto")), True),
        (ready(make(cuda_graphs=True), num_units=2**21), True),
        (ready(make(cuda_graphs="auto"), num_units=2**21), False),
        (ready(make(OwnLoss, cuda_graphs="auto")), False),
        (ready(make(cuda_graphs="auto", accumulate_batches=2)), False),
        (ready(make()), False),
    ):
        accelerate(experiment)  # pyright: ignore[reportArgumentType]
        assert experiment.chosen["cuda_graphs"] is is_graphed
        assert isinstance(experiment.model.forward, GraphedForward) == is_graphed


@pytest.mark.parametrize(
    ("kind", "fields", "obstacle"),
    [
        (OwnLoss, {}, "OwnLoss has its own compute_loss"),
        (Points, {"accumulate_batches": 2}, "accumulate_batches"),
    ],
)
def test_graphs_that_would_compute_something_else_are_refused(
    make: Callable[..., Points], kind: type[Points], fields: dict[str, Any], obstacle: str
) -> None:
    with pytest.raises(UserError, match=f"--cuda_graphs=true: .*{obstacle}"):
        accelerate(ready(make(kind, cuda_graphs=True, **fields)))  # pyright: ignore[reportArgumentType]


@pytest.mark.slow
def test_new_processes_come_to_the_same_bits(tmp_path: Path) -> None:
    words = ["--experiment_id=digits", "--use_cuda=false", "--model=cnn", "--limit_train_samples=200", "--epochs=2"]
    for _ in range(2):
        subprocess.run([sys.executable, str(RUN_PY), *words, "--quiet"], cwd=tmp_path, check=True, capture_output=True)
    one, other = (path.read_bytes() for path in tmp_path.glob("results/**/model.safetensors"))
    assert one == other


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # torch's own, when it begins to compile
def test_compiled_run_is_the_same_up_to_rounding_and_resumes_to_the_bit(
    make: Callable[..., Points], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_COMPILE_THREADS", "1")
    usual = weights(make().run())
    straight = make(compile=True).run()
    begun = make(epochs=1, compile=True).run()
    resumed = make(compile=True).run(RunOptions(resume=str(begun.run_dir)))
    assert "compiles the model with the first batches" in (straight.run_dir / "log.txt").read_text()
    assert chosen(straight)["compile"] is True and weights(straight).keys() == usual.keys()
    for name, value in weights(straight).items():
        assert torch.equal(value, weights(resumed)[name])
        torch.testing.assert_close(value, usual[name], rtol=1e-5, atol=1e-6)


def test_a_loss_that_one_experiment_was_given_is_the_one_it_trains_with(make: Callable[..., Points]) -> None:
    experiment, calls = make(epochs=1), []
    usual = experiment.compute_loss

    def counted(batch: Batch) -> Loss:
        calls.append(batch)
        return usual(batch)

    vars(experiment)["compute_loss"] = counted
    experiment.run()
    assert calls
