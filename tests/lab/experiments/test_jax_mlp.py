"""A network in JAX on the same loop, run directory and plots as any other experiment."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lab.experiments.jax_mlp.args import JaxMlpArgs
from labwright.args import MachineConfig, RunOptions, UserError
from labwright.runs import decode_arrays

pytest.importorskip("jax")

import jax
import jax.numpy as jnp

from lab.experiments.jax_mlp.network import apply, init_state, init_weights, measure, update

pytestmark = pytest.mark.slow  # jax compiles for seconds

ID = "--experiment_id=jax_mlp"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """A run from Python, without pictures: `run(epochs=2)`."""
    monkeypatch.setattr("labwright.session.recorder.plot_history", lambda *args, **options: None)
    monkeypatch.setattr("lab.experiments.jax_mlp.experiment.plot_predictions", lambda *args: [])

    def run(mode: Any = "train", **fields: Any) -> Any:
        machine = MachineConfig(results_dir=tmp_path / "results", use_cuda=False)
        args = JaxMlpArgs.model_validate({"epochs": 2, "limit_train_samples": 300, **fields})
        return args.build(machine).run(RunOptions(mode=mode))

    return run


def test_digits_are_learned_and_drawn(command_line: Callable[..., Any]) -> None:
    ended = command_line(ID, "--epochs=12", "--use_cuda=false")
    assert ended.test["accuracy"] > 0.95
    files = {path.name for path in ended.run.iterdir()}
    assert files >= {"history.png", "confusion.png", "predictions.png", "steps.jsonl", "model.safetensors"}
    rows = (ended.run / "predictions" / "test.csv").read_text().splitlines()
    columns = rows[0].split(",")
    target, prediction = (columns.index(name) for name in ("target", "prediction"))
    right = [row.split(",")[target] == row.split(",")[prediction] for row in rows[1:]]
    assert np.mean(right) == pytest.approx(ended.test["accuracy"])
    step = json.loads((ended.run / "steps.jsonl").read_text().splitlines()[0])
    assert step["step"] == 50 and step["loss"] > 0


def test_debug_run_is_two_epochs_of_two_batches(command_line: Callable[..., Any]) -> None:
    record = command_line(ID, "--debug", "--batch_size=16").record
    assert record["debug"] and record["result"]["steps"] == 4


def test_it_runs_where_torch_cannot_be_imported(run_without_torch: Callable[..., Path]) -> None:
    run = run_without_torch(ID, "--debug", "--use_cuda=false")
    assert json.loads((run / "run.json").read_text())["status"] == "finished"
    assert (run / "predictions.png").is_file()


def test_without_jax_the_line_says_how_to_install_it(
    command_line: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("labwright.trackers.base.find_spec", lambda name: None)
    assert 'pip install "labwright[jax]"' in command_line(ID).error
    assert not (tmp_path / "results").exists()


class TestTraining:
    def test_same_seed_same_weights(self, run: Callable[..., Any]) -> None:
        first, again, other = run(seed=1), run(seed=1), run(seed=2)
        contents = [(each.run_dir / "model.safetensors").read_bytes() for each in (first, again, other)]
        assert contents[0] == contents[1] != contents[2]
        assert first.test == again.test

    def test_best_epoch_is_what_is_tested_and_kept(self, run: Callable[..., Any]) -> None:
        result = run(epochs=3, minimize_best_model_metric=False)  # the first epoch has the highest loss
        assert result.best_epoch == 1
        kept, best = (
            decode_arrays(path) for path in (result.run_dir / "model.safetensors", result.checkpoints["best"])
        )
        assert all(np.array_equal(kept[name], best[name]) for name in kept)
        tested = run("test", from_checkpoint=str(result.run_dir))
        assert tested.test == result.test

    def test_it_stops_early(self, run: Callable[..., Any]) -> None:
        result = run(epochs=9, minimize_best_model_metric=False, early_stopping_patience=2)
        assert result.stopped_early and result.epochs == 3

    def test_no_epochs_evaluate_the_weights_as_they_are(self, run: Callable[..., Any]) -> None:
        trained = run(epochs=2)
        result = run(epochs=0, from_checkpoint=str(trained.run_dir / "model.safetensors"))
        assert (result.steps, result.test) == (0, trained.test)


class TestRefusals:
    @pytest.mark.parametrize(
        ("mode", "fields", "said"),
        [
            ("test", {}, "--mode=test needs weights"),
            ("train", {"from_checkpoint": {"body": "x"}}, "no submodules"),
            ("train", {"from_checkpoint": "nowhere"}, "nowhere: no such checkpoint"),
            ("train", {"ema_decay": 0.9}, "--ema_decay: jax_mlp does not use it"),
        ],
    )
    def test_what_cannot_be_done_is_one_line_before_the_run(
        self, run: Callable[..., Any], tmp_path: Path, mode: str, fields: dict[str, Any], said: str
    ) -> None:
        with pytest.raises(UserError, match=said) as refused:
            run(mode, **fields)
        assert "\n" not in str(refused.value) and not (tmp_path / "results").exists()

    def test_weights_of_another_network_are_named(self, run: Callable[..., Any]) -> None:
        other = run(hidden_sizes=[8], epochs=1)
        with pytest.raises(UserError, match=r"--hidden_sizes=\[64\].*layers.0.bias is \[8\] there"):
            run(from_checkpoint=str(other.run_dir))

    def test_gpu_that_is_not_there_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from lab.experiments.jax_mlp.experiment import choose_device

        monkeypatch.setattr(jax, "devices", lambda *kind: jax.local_devices(backend="cpu"))
        assert choose_device(None).platform == choose_device(False).platform == "cpu"
        with pytest.raises(UserError, match="--use_cuda=true"):
            choose_device(True)


class TestNetwork:
    def test_sizes_give_a_layer_for_each_pair(self) -> None:
        weights = init_weights([64, 5, 10], seed=0)
        assert {name: array.shape for name, array in weights.items()} == {
            "layers.0.weight": (64, 5), "layers.0.bias": (5,), "layers.1.weight": (5, 10), "layers.1.bias": (10,)
        }  # fmt: skip
        assert apply(weights, jnp.zeros((3, 1, 8, 8))).shape == (3, 10)

    def test_steps_are_those_of_adam(self) -> None:
        torch = pytest.importorskip("torch")
        weights = init_weights([4, 3], seed=0)
        inputs = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
        targets = np.arange(6, dtype=np.int32) % 3
        layer = torch.nn.Linear(4, 3)
        layer.weight.data = torch.tensor(np.asarray(weights["layers.0.weight"]).T)
        layer.bias.data = torch.tensor(np.asarray(weights["layers.0.bias"]))
        optimizer = torch.optim.Adam(layer.parameters(), lr=0.1)
        state = init_state(weights)
        for _ in range(5):
            state, (loss, _) = update(state, inputs, targets, 0.1)
            optimizer.zero_grad()
            expected = torch.nn.functional.cross_entropy(layer(torch.tensor(inputs)), torch.tensor(targets).long())
            expected.backward()
            optimizer.step()
            assert float(loss) == pytest.approx(expected.item(), abs=1e-5)
        assert np.asarray(state.weights["layers.0.weight"]).T == pytest.approx(layer.weight.detach().numpy(), abs=1e-5)

    def test_a_sure_and_right_network_has_no_loss(self) -> None:
        weights = {"layers.0.weight": 100 * jnp.eye(3), "layers.0.bias": jnp.zeros(3)}
        loss, accuracy = measure(weights, jnp.eye(3), jnp.arange(3))
        assert (float(loss), float(accuracy)) == (pytest.approx(0), 1)
