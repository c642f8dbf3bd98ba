from pathlib import Path

from labwright import MachineConfig

from lab.experiments.spirals import SpiralsArgs


def test_two_epochs_beat_chance(tmp_path: Path) -> None:
    args = SpiralsArgs(epochs=2)
    machine = MachineConfig(cache_dir=tmp_path / "cache", results_dir=tmp_path / "results", use_cuda=False)
    result = args.build(machine).run()
    assert result.test["accuracy"] > 1 / args.dataset.num_arms + 0.1
    assert (result.run_dir / "history.png").is_file()
