"""What a checkpoint costs: the loop while it waits, until the file is durable, in memory; against others.

    python benchmarks/checkpoint.py [--numbers=100] [--rounds=11] [--folder=DIR]

A model and its Adam moments, `--numbers` million single-precision numbers in all, are trained by labwright, four steps
to an epoch, at whose end there is a checkpoint. Beside it the same state is saved by `safetensors.torch.save_file` and
`torch.save`, synced, and copied to tensors that are there (`copy_`). Wall time, interleaved; medians of the rounds, and
of the ratio of a checkpoint to the copy right before or after it. Memory is what the process had at its peak besides.
`--folder` says on which disk. Prints a Markdown table and exits 1 where the loop waits longer than 1.3 times a copy.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from labwright import Experiment, MachineConfig
from labwright.args import ExperimentArgs, RunOptions
from labwright.datasets import Splits, TensorDataset
from labwright.optimizers import AdamArgs, OptimizerUnion
from labwright.schedulers import ConstantArgs, SchedulerUnion

LIMIT = 1.3
WIDTH = 1024
STEPS = 4
LABWRIGHT, WAITING, FIRST = "labwright", "labwright, `--background_checkpoints=false`", "labwright, the first of a run"
COPY, TORCH, SAFETENSORS = "`copy_` of the state", "`torch.save`, fsync", "`safetensors.torch.save_file`, fsync"


class StatefulArgs(ExperimentArgs):
    """A model of so many million numbers, with its moments."""

    experiment_id: str = "checkpoints"
    millions: float = 100.0
    optimizer: OptimizerUnion = AdamArgs()
    scheduler: SchedulerUnion = ConstantArgs()

    def build(self, machine: MachineConfig) -> "Stateful":
        return Stateful(self, machine)


class Stateful(Experiment[StatefulArgs]):
    """Takes a few steps an epoch, and times what follows."""

    folder: Path
    targets: dict[str, Tensor]
    """What the state is copied to."""
    seconds: dict[str, list[float]]
    cpu_seconds: dict[str, list[float]]
    """Of the loop's thread."""
    durable_seconds: dict[str, list[float]]
    memory: dict[str, list[int]]

    def build_datasets(self) -> Splits:
        data = TensorDataset(torch.randn(2 * STEPS, WIDTH), torch.zeros(2 * STEPS, dtype=torch.long), source="noise")
        return Splits(
            train={"train": data},
            val={},
            test={},
            name="noise",
            task="classification",
            num_outputs=WIDTH,
            fingerprint="0" * 64,
        )

    def build_model(self) -> nn.Module:
        num_layers = round(self.args.millions * 1e6 / 3 / (WIDTH + 1) / WIDTH)
        return nn.Sequential(*(nn.Linear(WIDTH, WIDTH) for _ in range(num_layers)))

    def between_epochs(self) -> None:
        if not self.options.background_checkpoints:
            self._measure_checkpoint(WAITING)
            return
        tensors = state_tensors(self)
        self._measure_others(tensors)
        if self.epoch == 1:
            self.targets = {name: torch.zeros_like(tensor) for name, tensor in tensors.items()}
        measured = [
            lambda: self._measure(COPY, lambda: [self.targets[name].copy_(each) for name, each in tensors.items()]),
            lambda: self._measure_checkpoint(FIRST if self.epoch == 1 else LABWRIGHT),
        ]
        for measure in (
            measured if self.epoch % 2 else reversed(measured)
        ):  # neither always finds the caches as it likes
            measure()

    def _measure_others(self, tensors: dict[str, Tensor]) -> None:
        path = self.folder / "other"
        self._measure(SAFETENSORS, lambda: (safetensors.torch.save_file(tensors, path), sync(path)))
        path.unlink()
        self._measure(TORCH, lambda: (torch.save(tensors, path), sync(path)))
        path.unlink()

    def _measure_checkpoint(self, name: str) -> None:
        keeper = self.recorder.keeper
        started = time.perf_counter()
        self._measure(name, super().between_epochs, lambda: keeper.store.path_of("last"))  # which waits for it
        self.durable_seconds[name].append(time.perf_counter() - started)
        self.memory[name][-1] += keeper._memory._bytes.nbytes if name != WAITING else 0

    def _measure(self, name: str, act: Callable[[], object], wait: Callable[[], object] = lambda: None) -> None:
        before = resident_bytes("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # VmHWM begins anew
        started, cpu_started = time.perf_counter(), time.thread_time()
        act()
        self.seconds[name].append(time.perf_counter() - started)
        self.cpu_seconds[name].append(time.thread_time() - cpu_started)
        wait()
        self.memory[name].append(resident_bytes("VmHWM") - before)


def state_tensors(experiment: Stateful) -> dict[str, Tensor]:
    """The weights and the moments, each tensor once."""
    found = {f"model.{name}": tensor.detach() for name, tensor in experiment.model.named_parameters()}
    for number, state in enumerate(experiment.optimizer.state.values()):
        found |= {f"{number}.{name}": value for name, value in state.items() if value.numel() > 1}
    return found


def sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def resident_bytes(what: str) -> int:
    """VmRSS or VmHWM, the peak of it, of this process."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(what))
    return int(line.split()[1]) * 1024


def main() -> int:
    given = _given()
    args: Any = StatefulArgs(millions=given.numbers, epochs=given.rounds + 1, batch_size=2)
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        experiment = args.build(MachineConfig(results_dir=Path(folder) / "results", use_cuda=False))
        experiment.folder = Path(folder)
        experiment.seconds, experiment.cpu_seconds = defaultdict(list), defaultdict(list)
        experiment.durable_seconds, experiment.memory = defaultdict(list), defaultdict(list)
        options: dict[str, Any] = {"keep_checkpoints": 1, "predictions": "none", "snapshot": False}
        experiment.run(RunOptions(**options))
        experiment.run(RunOptions(**options, background_checkpoints=False))
        size = sum(each.nbytes for each in state_tensors(experiment).values())
    _show(experiment, size)
    return int(times_a_copy(experiment.seconds, LABWRIGHT) > LIMIT)


def times_a_copy(seconds: dict[str, list[float]], name: str) -> float:
    """The median of each one's ratio to the copy of the same round; of the run without copies, to the median of all."""
    copies = {LABWRIGHT: seconds[COPY][1:], FIRST: seconds[COPY][:1]}.get(name, seconds[COPY])
    if name == WAITING:
        return statistics.median(seconds[name]) / statistics.median(copies)
    return statistics.median(each / copy for each, copy in zip(seconds[name], copies, strict=True))


def _show(experiment: Stateful, size: int) -> None:
    what = f"{size / 4e6:.0f} million numbers, {torch.get_num_threads()} threads"
    print(
        f"| {what} | the loop waits (ms) | times a copy | the same in its CPU time | durable after (ms) | memory (MB) |"
    )
    print("|---|---:|---:|---:|---:|---:|")
    for name in (COPY, LABWRIGHT, FIRST, WAITING, SAFETENSORS, TORCH):
        waits = statistics.median(experiment.seconds[name])
        ratios = [times_a_copy(seconds, name) for seconds in (experiment.seconds, experiment.cpu_seconds)]
        durable = statistics.median(experiment.durable_seconds.get(name, [waits]))
        memory = size if name == COPY else statistics.median(experiment.memory[name])
        cells = [
            f"{waits * 1e3:,.0f}",
            *(f"{ratio:.2f}" for ratio in ratios),
            "" if name == COPY else f"{durable * 1e3:,.0f}",
        ]
        print(f"| {name} | {' | '.join(cells)} | {memory / 1e6:,.0f} |")


def _given() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--numbers", type=float, default=100.0, help="millions of them")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--folder", type=Path, default=None)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
