"""What is refused before anything is written."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from labwright.args import MachineConfig, RunOptions, UserError
from labwright.datasets import Splits
from labwright.session.torch_parts import refuse_lone_samples
from labwright.train import build_loader

pytestmark = pytest.mark.usefixtures("no_pictures")


@pytest.fixture
def refused(make: Callable[..., Any], tmp_path: Path) -> Callable[..., str]:
    """The one line with which a run is refused, having left nothing."""

    def run(*kind: Any, options: RunOptions | None = None, **fields: Any) -> str:
        experiment = make(*kind, **fields)
        with pytest.raises(UserError) as refusal:
            experiment.run(options)
        assert not (tmp_path / "results").exists()
        assert "\n" not in str(refusal.value)
        return str(refusal.value)

    return run


@pytest.fixture
def unvalidated(points: Any) -> Any:
    class Unvalidated(points):
        def build_datasets(self) -> Splits:
            return replace(super().build_datasets(), val={})

    return Unvalidated


@pytest.mark.parametrize("name", ["acuracy", "val/acuracy", "test/accuracy", "loss/val", "/loss"])
def test_unknown_metric_lists_the_known_ones(refused: Callable[..., str], name: str) -> None:
    line = refused(best_model_metric=name)
    assert repr(name) in line
    assert "val/loss, val/accuracy, train/loss, train/accuracy" in line


def test_unknown_metric_is_refused_without_a_validation_set_too(refused: Callable[..., str], unvalidated: Any) -> None:
    assert "known: loss, accuracy" in refused(unvalidated, best_model_metric="acuracy")


def test_early_stopping_needs_validation(refused: Callable[..., str], unvalidated: Any) -> None:
    assert "--early_stopping_patience needs a validation set" in refused(unvalidated, early_stopping_patience=2)


def test_plateau_needs_validation(refused: Callable[..., str], unvalidated: Any) -> None:
    assert "--scheduler=plateau" in refused(unvalidated, scheduler={"kind": "plateau"})


def test_without_validation_the_last_weights_are_kept_with_a_warning(
    make: Callable[..., Any], unvalidated: Any
) -> None:
    result = make(unvalidated).run()
    assert result.weights_epoch == result.epochs == 2 and result.best_metric is None
    assert any("no validation set" in text for text in result.warnings)


def test_training_metric_may_decide_without_validation(make: Callable[..., Any], unvalidated: Any) -> None:
    result = make(unvalidated, best_model_metric="train/loss", early_stopping_patience=2).run()
    assert result.best_metric == "train/loss"


def test_split_that_is_another_one_is_refused(refused: Callable[..., str], points: Any) -> None:
    class Leaking(points):
        def build_datasets(self) -> Splits:
            splits = super().build_datasets()
            return replace(splits, test={"test": splits.train["train"]})

    line = refused(Leaking, options=RunOptions(overlap="allow"))
    assert "train" in line and "test" in line and "same" in line


def test_two_datasets_of_one_name_are_refused(refused: Callable[..., str], points: Any) -> None:
    class Twice(points):
        def build_datasets(self) -> Splits:
            splits = super().build_datasets()
            return replace(splits, test={"val": splits.test["test"]})

    assert "'val'" in refused(Twice)


def test_nothing_to_train_on_is_refused(refused: Callable[..., str], points: Any) -> None:
    class Empty(points):
        def build_datasets(self) -> Splits:
            return replace(super().build_datasets(), train={})

    assert "no training set" in refused(Empty)


@pytest.mark.parametrize("folder", ["file", "file/below", "/proc", "/proc/self/results", "/dev/null/results"])
def test_results_that_cannot_be_written_are_refused(points: Any, points_args: Any, tmp_path: Path, folder: str) -> None:
    (tmp_path / "file").write_text("in its place")
    with pytest.raises(UserError, match="cannot write to results directory .* --results_dir"):
        points(points_args(), MachineConfig(results_dir=tmp_path / folder)).run()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("folder", ["../elsewhere", "/elsewhere", "a/../../b"])
def test_subfolder_stays_inside_the_results(refused: Callable[..., str], folder: str) -> None:
    assert "results_subdir" in refused(options=RunOptions(results_subdir=Path(folder)))


def test_gpu_that_is_not_there_is_refused(points: Any, points_args: Any, tmp_path: Path) -> None:
    import torch

    if torch.accelerator.is_available():
        pytest.skip("there is one")
    with pytest.raises(UserError, match="no GPU.*--use_cuda=false"):
        points(points_args(), MachineConfig(results_dir=tmp_path / "results", use_cuda=True)).run()


@pytest.mark.parametrize("spec", ["nowhere", {"boddy": "nowhere"}, {"body": "nowhere"}])
def test_missing_weights_are_refused(refused: Callable[..., str], spec: Any) -> None:
    line = refused(from_checkpoint=spec)
    assert ("boddy" in line and "body" in line) if "boddy" in spec else "nowhere" in line


def test_pickle_posing_as_a_checkpoint_is_not_executed(refused: Callable[..., str], tmp_path: Path) -> None:
    trap = tmp_path / "touched"
    content = f"cposix\nsystem\n(S'touch {trap}'\ntR.".encode()
    for name in ("weights.pt", "weights.safetensors"):
        (tmp_path / name).write_bytes(content)
        assert name in refused(from_checkpoint=str(tmp_path / name))
    assert not trap.exists()


def test_missing_tracker_is_found_before_the_run(refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labwright.trackers.base.find_spec", lambda name: None)
    assert "tensorboard is not installed" in refused(options=RunOptions(use_tensorboard=True))


@pytest.mark.parametrize("name", ["../../oops", "a/b", "", ".hidden"])
def test_name_of_a_set_cannot_leave_the_run_directory(refused: Callable[..., str], points: Any, name: str) -> None:
    class Elsewhere(points):
        def build_datasets(self) -> Splits:
            splits = super().build_datasets()
            return replace(splits, test={name: splits.test["test"]})

    assert repr(name) in refused(Elsewhere)


@pytest.mark.parametrize("batch_size", [1, 59])
def test_batch_normalization_of_a_lone_sample_is_refused(refused: Callable[..., str], batch_size: int) -> None:
    line = refused(model={"kind": "mlp", "batch_norm": True}, batch_size=batch_size)
    assert f"--batch_size={batch_size}" in line and "60 samples of train" in line


def test_batch_normalization_of_whole_batches_trains(make: Callable[..., Any]) -> None:
    assert make(model={"kind": "mlp", "batch_norm": True}, batch_size=20).run().epochs == 2


def test_synchronized_batch_normalization_needs_a_sample_on_each_rank() -> None:
    args = SimpleNamespace(sync_batchnorm=True)
    of_two: Any = SimpleNamespace(world=SimpleNamespace(size=2), model=torch.nn.BatchNorm1d(2), args=args)
    with pytest.raises(UserError, match="the last of train has 1"):
        refuse_lone_samples(of_two, {"train": build_loader(list(range(5)), 4, shuffle=False, seed=0)})
    refuse_lone_samples(of_two, {"train": build_loader(list(range(6)), 4, shuffle=False, seed=0)})


def test_one_rank_is_told_that_it_has_no_batch_to_share(make: Callable[..., Any]) -> None:
    experiment = make(model={"kind": "mlp", "batch_norm": True}, batch_size=20, epochs=1, sync_batchnorm=True)
    experiment.run()
    assert [line for line in experiment.warnings if line.startswith("--sync_batchnorm: one rank")]


def test_noise_on_whole_numbers_is_refused(refused: Callable[..., str], points: Any) -> None:
    class Counts(points):
        def build_datasets(self) -> Splits:
            splits = super().build_datasets()
            counts = [{"input": torch.tensor([number, 1]), "target": number % 2} for number in range(20)]
            return replace(splits, train={"train": counts})

    assert "torch.int64" in refused(Counts, white_noise_sd=0.1)


def test_weights_of_another_model_point_to_that_runs_arguments(make: Callable[..., Any], tmp_path: Path) -> None:
    other = make(model={"kind": "mlp", "hidden_sizes": [9]}).run().run_dir
    with pytest.raises(UserError, match=f"add --config={other}/args.yaml"):
        make(from_checkpoint=str(other)).run()
