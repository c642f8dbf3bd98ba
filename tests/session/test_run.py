"""One run, from what was asked to what it leaves."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from labwright.args import RunOptions, UserError
from labwright.datasets import Splits

pytestmark = pytest.mark.usefixtures("no_pictures")

TINY = ("--experiment_id=digits", "--epochs=2", "--limit_train_samples=100", "--batch_size=32", "--use_cuda=false")


def weights(run: Path) -> bytes:
    return (run / "model.safetensors").read_bytes()


def history(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]


class TestReproducibility:
    def test_args_yaml_repeats_the_weights_bit_by_bit(self, command_line: Callable[..., Any]) -> None:
        first = command_line(*TINY, "--seed=3", "--white_noise_sd=0.1", "--model.dropout=0.2").run
        again = command_line(f"--config={first / 'args.yaml'}").run
        assert first != again
        assert weights(first) == weights(again)
        assert history(first) == history(again)

    def test_a_different_seed_gives_other_weights_on_the_same_split(self, command_line: Callable[..., Any]) -> None:
        runs = [command_line(*TINY, f"--seed={seed}").run for seed in (0, 1)]
        assert weights(runs[0]) != weights(runs[1])
        tables = [(run / "predictions" / "test.csv").read_text().splitlines()[1:] for run in runs]
        targets = [[line.split(",")[:2] for line in table] for table in tables]
        assert targets[0] == targets[1]

    def test_a_different_split_seed_gives_another_split(self, command_line: Callable[..., Any]) -> None:
        tables = []
        for split_seed in (0, 1):
            run = command_line(*TINY, "--epochs=0", f"--split_seed={split_seed}").run
            tables.append((run / "predictions" / "test.csv").read_text().splitlines()[1:])
        targets = [[line.split(",")[1] for line in table] for table in tables]
        assert targets[0] != targets[1]

    def test_looking_at_a_run_does_not_change_it(
        self, make: Callable[..., Any], points: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Unvalidated(points):
            def build_datasets(self) -> Splits:
                return replace(super().build_datasets(), val={}, test={})

        dropout = {"kind": "mlp", "hidden_sizes": [8], "dropout": 0.5}
        plain = make(Unvalidated, model=dropout, white_noise_sd=0.1).run()
        monkeypatch.undo()  # draws
        watched = make(model=dropout, white_noise_sd=0.1, return_best_model=False)
        options = RunOptions(
            log_every_n_steps=1, batch_histograms=True, predict_on_train=True, use_tensorboard=True, tags=("a",)
        )
        assert weights(plain.run_dir) == weights(watched.run(options).run_dir)

    @pytest.mark.slow
    def test_workers_do_not_change_the_weights(self, command_line: Callable[..., Any]) -> None:
        runs = [command_line(*TINY, f"--num_workers={number}").run for number in (0, 2)]
        assert weights(runs[0]) == weights(runs[1])


class TestWithoutTraining:
    def test_no_epochs_evaluates_and_leaves_a_valid_run(self, make: Callable[..., Any]) -> None:
        result = make(epochs=0).run()
        assert (result.epochs, result.steps, result.weights_epoch, result.best_epoch) == (0, 0, 0, None)
        rows = history(result.run_dir)
        assert [(row["epoch"], row["split"]) for row in rows] == [(0, "val"), (0, "test")]
        assert result.test.keys() == {"loss", "accuracy"} and result.val.keys() == {"loss", "accuracy"}
        assert (result.run_dir / "model.safetensors").is_file()
        assert json.loads((result.run_dir / "run.json").read_text())["status"] == "finished"

    def test_no_epochs_draws_a_history(self, make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.undo()
        assert (make(epochs=0).run().run_dir / "history.png").stat().st_size > 1000

    def test_only_test_finds_the_metrics_that_the_run_had(self, make: Callable[..., Any]) -> None:
        trained = make(epochs=3).run()
        tested = make(from_checkpoint=str(trained.run_dir), seed=9).run(RunOptions(only_test=True))
        assert tested.test == trained.test
        assert weights(tested.run_dir) == weights(trained.run_dir)
        assert [row["split"] for row in history(tested.run_dir)] == ["test"]
        assert tested.epochs == 0

    def test_only_test_needs_weights(self, make: Callable[..., Any], tmp_path: Path) -> None:
        with pytest.raises(UserError, match="--from_checkpoint"):
            make().run(RunOptions(only_test=True))
        assert not (tmp_path / "results").exists()

    def test_only_test_needs_a_test_set(self, make: Callable[..., Any], points: Any, tmp_path: Path) -> None:
        class Untested(points):
            def build_datasets(self) -> Splits:
                return replace(super().build_datasets(), test={})

        trained = make(Untested).run()
        assert trained.test == {}
        with pytest.raises(UserError, match="no test set"):
            make(Untested, from_checkpoint=str(trained.run_dir)).run(RunOptions(only_test=True))


class TestFromCheckpoint:
    @pytest.mark.parametrize("start", ["", "model.safetensors", "checkpoints/best"])
    def test_a_run_starts_from_the_weights_of_another(self, make: Callable[..., Any], start: str) -> None:
        first = make(epochs=3).run()
        path = first.checkpoints["best"] if start.startswith("checkpoints") else first.run_dir / start
        second = make(epochs=0, seed=5, from_checkpoint=str(path)).run()
        assert second.test == first.test

    def test_submodules_start_from_a_file_each(self, make: Callable[..., Any]) -> None:
        body, head = make(seed=1).run().run_dir, make(seed=2).run().run_dir
        spec = {"body": str(body), "head": str(head)}
        mixed = load_file(make(epochs=0, seed=3, from_checkpoint=spec).run().run_dir / "model.safetensors")
        for name, tensor in mixed.items():
            origin = body if name.startswith("body") else head
            assert torch.equal(tensor, load_file(origin / "model.safetensors")[name])

    def test_another_model_is_refused_with_keys_and_shapes(self, make: Callable[..., Any], tmp_path: Path) -> None:
        other = make(model={"kind": "mlp", "hidden_sizes": [7, 5]}).run().run_dir
        num_runs = len(list(other.parent.iterdir()))
        with pytest.raises(UserError) as refused:
            make(from_checkpoint=str(other)).run()
        text = str(refused.value)
        assert "\n" not in text
        assert "body.3.weight" in text and "body.1.weight" in text and "[7, 2]" in text and "[4, 2]" in text
        assert len(list(other.parent.iterdir())) == num_runs


class TestWeightsReturned:
    """The validation loss is made to be best in the first of three epochs."""

    @pytest.fixture
    def worsening(self, points: Any) -> Any:
        class Worsening(points):
            best_epoch = 1

            def on_epoch_start(self) -> None:
                self.kept: dict[int, dict[str, torch.Tensor]] = getattr(self, "kept", {})

            def eval_batch(self, batch: Any) -> Any:
                loss = super().eval_batch(batch)
                return loss._replace(value=torch.tensor(float(abs(self.epoch - self.best_epoch))))

            def on_epoch_end(self) -> None:
                self.kept[self.epoch] = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}

        return Worsening

    def stored(self, run: Path, kept: dict[str, torch.Tensor]) -> bool:
        stored = load_file(run / "model.safetensors")
        return all(torch.equal(stored[name], tensor) for name, tensor in kept.items())

    @pytest.mark.parametrize("best_epoch", [1, 2, 3])
    def test_the_best_epoch_is_returned_and_tested(
        self, make: Callable[..., Any], worsening: Any, best_epoch: int
    ) -> None:
        experiment = make(worsening, epochs=3)
        experiment.best_epoch = best_epoch
        result = experiment.run()
        assert (
            result.weights_epoch == result.best_epoch == best_epoch
            and result.best_metric == "val/loss"
            and result.best_value == 0
        )
        assert self.stored(result.run_dir, experiment.kept[best_epoch])
        [row] = [row for row in history(result.run_dir) if row["split"] == "test"]
        assert row["epoch"] == best_epoch and row["step"] == best_epoch * result.steps // 3
        assert result.val["loss"] == 0

    def test_the_last_epoch_is_returned_where_asked_for(self, make: Callable[..., Any], worsening: Any) -> None:
        experiment = make(worsening, epochs=3, return_best_model=False)
        result = experiment.run()
        assert self.stored(result.run_dir, experiment.kept[3])
        assert (result.weights_epoch, result.best_epoch, result.best_value) == (3, 1, 0), (
            "the best is said all the same"
        )
        assert "epoch 3, the last" in result.summary()
        [row] = [row for row in history(result.run_dir) if row["split"] == "test"]
        assert row["epoch"] == 3

    def test_best_and_last_checkpoint_are_kept_and_no_other(self, make: Callable[..., Any], worsening: Any) -> None:
        result = make(worsening, epochs=3).run(RunOptions(keep_checkpoints=1))
        files = sorted(path.name for path in (result.run_dir / "checkpoints").glob("*.safetensors"))
        assert files == [f"step_{step:08d}.safetensors" for step in (result.steps // 3, result.steps)]
        assert {role: path.name for role, path in result.checkpoints.items()} == {"best": files[0], "last": files[1]}

    @pytest.mark.parametrize(
        ("name", "minimize", "full"),
        [
            ("loss", None, "val/loss"),
            ("accuracy", None, "val/accuracy"),
            ("val/accuracy", None, "val/accuracy"),
            ("train/loss", None, "train/loss"),
            ("loss", False, "val/loss"),
        ],
    )
    def test_direction_is_known_from_the_metric_unless_given(
        self, make: Callable[..., Any], name: str, minimize: bool | None, full: str
    ) -> None:
        result = make(epochs=4, best_model_metric=name, minimize_best_model_metric=minimize).run()
        split, _, metric = full.partition("/")
        values = [row["metrics"][metric] for row in history(result.run_dir) if row["split"] == split]
        lower_is_better = metric == "loss" if minimize is None else minimize
        assert result.best_metric == full
        assert result.best_value == (min if lower_is_better else max)(values)
        assert result.best_epoch == 1 + values.index(result.best_value)


def test_learning_rate_on_record_is_the_one_that_was_used(make: Callable[..., Any]) -> None:
    """The rate of a step was read after the scheduler had moved on, that of an epoch before its first step."""
    run = make(epochs=2, scheduler={"kind": "cosine"}).run(RunOptions(log_every_n_steps=1)).run_dir
    steps = [json.loads(line)["learning_rate"] for line in (run / "steps.jsonl").read_text().splitlines()]
    assert steps[0] == 0.1 and 0 < steps[-1] < steps[-2] < steps[1] < 0.1
    rates = [row["learning_rate"] for row in history(run) if row["split"] == "train"]
    assert rates == [steps[len(steps) // 2 - 1], steps[-1]]
