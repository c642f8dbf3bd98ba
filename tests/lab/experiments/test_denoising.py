"""Noise is new in training and always the same in validation, and some of it can be taken away."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lab.experiments.denoising.args import DenoisingArgs
from lab.experiments.denoising.experiment import Denoising, with_fixed_noise
from lab.models.args import UNetArgs
from labwright import MachineConfig
from labwright.datasets import DigitsDataArgs, MnistDataArgs
from labwright.train import Batch, Loss


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Any]:
    def make(kind: type[Denoising] = Denoising, **fields: Any) -> Denoising:
        quick = {"epochs": 1, "model": UNetArgs(channels=[4, 8]), "limit_train_samples": 100}
        return kind(DenoisingArgs(**quick | fields), MachineConfig(results_dir=tmp_path / "results", use_cuda=False))

    return make


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of two photographs of noisy digits."""
    from PIL import Image
    from sklearn.datasets import load_digits

    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    data: Any = load_digits()
    for name, image in zip("ab", data.images, strict=False):
        noisy = np.clip(image * 16 + rng.normal(0, 60, image.shape), 0, 255)
        Image.fromarray(noisy.astype(np.uint8)).resize((64, 64)).save(folder / f"{name}.png")
    return folder


def table(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_debug_run_shows_before_and_after(command_line: Callable[..., Any]) -> None:
    ended = command_line("--experiment_id=denoising", "--debug", "--use_cuda=false")
    assert (ended.run / "denoised_test.png").is_file()
    assert ended.test.keys() == {"loss", "nmse", "psnr", "ssim"}
    rows = [json.loads(line) for line in (ended.run / "history.jsonl").read_text().splitlines()]
    assert [row["split"] for row in rows[:3]] == ["train", "val", "val_noisier"]
    assert rows[2]["metrics"]["psnr"] < rows[1]["metrics"]["psnr"]
    assert ended.record["result"]["best_metric"] == "val/psnr"


def test_noisier_set_never_decides(command_line: Callable[..., Any]) -> None:
    error = command_line("--experiment_id=denoising", "--best_model_metric=val_noisier/psnr").error
    assert "val_noisier is for demonstration only" in error


@pytest.mark.slow
def test_noise_is_taken_away_and_the_table_says_how_much(make: Callable[..., Any]) -> None:
    result = make(epochs=6, limit_train_samples=None, model=UNetArgs(channels=[16, 32])).run()
    rows = table(result.run_dir / "predictions" / "test.csv")
    assert rows[0].keys() == {"index", "noisy_psnr", "psnr"} and len(rows) == 359  # and no pixel is in it
    before, after = (np.mean([float(row[name]) for row in rows]) for name in ("noisy_psnr", "psnr"))
    assert before == pytest.approx(-20 * np.log10(0.25), abs=0.2) and after > before + 3
    denoised = np.load(result.run_dir / "artifacts" / "denoised_test.npy")
    assert denoised.shape == (359, 1, 8, 8)


def test_pictures_of_ones_own_are_denoised_too(
    command_line: Callable[..., Any], make: Callable[..., Any], pictures: Path
) -> None:
    trained = make().run().run_dir
    words = ("--mode=predict", f"--predict_input={pictures}", f"--from_checkpoint={trained}", "--use_cuda=false")
    ended = command_line("--experiment_id=denoising", f"--config={trained / 'args.yaml'}", *words)
    assert [row["name"] for row in table(ended.run / "predictions" / "inputs.csv")] == ["a.png", "b.png"]
    assert np.load(ended.run / "artifacts" / "denoised_inputs.npy").shape == (2, 1, 8, 8)
    assert (ended.run / "denoised_inputs.png").is_file()


def test_training_noise_is_new_each_time_and_leaves_the_target_clean(make: Callable[..., Any]) -> None:
    class Watched(Denoising):
        def on_experiment_start(self) -> None:
            self.seen: list[tuple[torch.Tensor, torch.Tensor]] = []

        def train_batch(self, batch: Batch) -> Loss:
            order = batch["index"].argsort()
            self.seen.append((batch["input"][order], batch["target"][order]))
            return super().train_batch(batch)

    denoising = make(Watched, epochs=2, batch_size=100, white_noise_sd=0.5)
    denoising.run()
    (input_1, target_1), (input_2, target_2) = denoising.seen
    assert torch.equal(target_1, target_2) and target_1.min() == 0 and target_1.max() == 1
    assert not torch.equal(input_1, input_2)
    assert (input_1 - target_1).std() == pytest.approx(0.5, abs=0.02)


def test_noise_of_a_sample_follows_from_its_index_alone() -> None:
    images = torch.zeros(6, 1, 8, 8)
    together = with_fixed_noise({"input": images, "index": torch.arange(6)}, sd=1.0)
    alone = with_fixed_noise({"input": images[4:5], "index": torch.tensor([4])}, sd=2.0)
    assert torch.equal(2 * together["input"][4:5], alone["input"])
    assert torch.equal(together["target"], images) and len(together["input"].flatten(1).unique(dim=0)) == 6


@pytest.mark.parametrize("dataset", [DigitsDataArgs(), MnistDataArgs(source="digits")])
def test_images_of_any_dataset_lie_between_black_and_white(make: Callable[..., Any], dataset: Any) -> None:
    splits = make(dataset=dataset).build_datasets()
    for clean in (*splits.train.values(), *splits.val.values(), *splits.test.values()):
        target = clean.__getitems__(list(range(100)))["target"]
        assert target.min() == 0 and 0.9 < target.max() <= 1
    assert splits.demo_only == ("val_noisier",) and list(splits.val) == ["val", "val_noisier"]
