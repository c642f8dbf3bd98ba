"""What several processes cost: labwright by torchrun against a bare loop with DistributedDataParallel.

    python benchmarks/distributed.py [--samples=12800] [--epochs=3] [--rounds=3] [--ranks=1,2]

The tiny MLP (784-64-10, batches of 64 in all, Adam) on synthetic images, gloo on the CPU, one thread each. Samples a
second of training, from the second epoch on, and CPU time (user and system) of all processes, each whole; interleaved,
medians. Prints a Markdown table; there is no limit.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone")
BATCH_SIZE, NUM_INPUTS, NUM_HIDDEN, NUM_CLASSES = 64, 784, 64, 10


def main() -> int:
    given = _given()
    if given.child is not None:
        run = bare if given.child == "bare" else with_labwright
        report(run(given.samples, given.epochs))
        return 0
    ranks = [int(number) for number in given.ranks.split(",")]
    rows = [(name, number) for number in ranks for name in ("bare", "labwright")]
    seconds: dict[tuple[str, int], list[float]] = {row: [] for row in rows}
    speeds: dict[tuple[str, int], list[float]] = {row: [] for row in rows}
    for _ in range(given.rounds):
        for row in rows:
            speed, cpu = measured(*row, given.samples, given.epochs)
            speeds[row].append(speed)
            seconds[row].append(cpu)
    print("| loop | processes | samples/s | CPU s | samples/s of the bare loop |\n|---|---:|---:|---:|---:|")
    for name, number in rows:
        speed, of_bare = (statistics.median(speeds[each, number]) for each in (name, "bare"))
        cpu = statistics.median(seconds[name, number])
        print(f"| {name} | {number} | {speed:,.0f} | {cpu:.1f} | {speed / of_bare:.2f} |")
    return 0


def measured(name: str, num_ranks: int, samples: int, epochs: int) -> tuple[float, float]:
    """Samples a second of training, and CPU seconds of all processes."""
    words = [f"--child={name}", f"--samples={samples}", f"--epochs={epochs}"]
    launcher = [*TORCHRUN, f"--nproc_per_node={num_ranks}"] if num_ranks > 1 else [sys.executable]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [*launcher, str(Path(__file__).resolve()), *words],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(done.stderr)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return json.loads(done.stdout.splitlines()[-1])["samples_per_second"], cpu


def bare(samples: int, epochs: int) -> float:
    """The loop that one writes by hand, each rank with its half of every batch."""
    import torch
    import torch.distributed as dist
    import torch.distributed.nn  # before there is a group, which it would keep: its threads may abort at exit
    from torch import nn
    from torch.nn.functional import cross_entropy
    from torch.nn.parallel import DistributedDataParallel

    rank, size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    inputs, targets = images(samples)
    torch.manual_seed(0)
    hidden = nn.Linear(NUM_INPUTS, NUM_HIDDEN)
    model: nn.Module = nn.Sequential(hidden, nn.ReLU(), nn.Linear(NUM_HIDDEN, NUM_CLASSES))
    if size > 1:
        dist.init_process_group("gloo")
        model = DistributedDataParallel(model)
    optimizer = torch.optim.Adam(model.parameters())
    started, share = 0.0, BATCH_SIZE // size
    for epoch in range(epochs):
        if epoch == 1:
            started = time.perf_counter()
        order = torch.randperm(samples, generator=torch.Generator().manual_seed(epoch))
        for start in range(rank * share, samples, BATCH_SIZE):
            index = order[start : start + share]
            loss = cross_entropy(model(inputs[index]), targets[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    speed = samples * (epochs - 1) / (time.perf_counter() - started)
    if size > 1:
        del model  # as this would
        dist.destroy_process_group()
    return speed


def with_labwright(samples: int, epochs: int) -> float:
    """The same by labwright, with its history, checkpoints and the plot at the end."""
    from pydantic import Field

    from labwright import Experiment, ExperimentArgs, Hook, MachineConfig, RunOptions
    from labwright.datasets import Splits, TensorDataset
    from labwright.models import MLPArgs
    from labwright.optimizers import AdamArgs

    class TinyArgs(ExperimentArgs):
        """The tiny MLP."""

        batch_size: int = BATCH_SIZE
        model: MLPArgs = Field(default=MLPArgs(hidden_sizes=[NUM_HIDDEN]), description="The model.")
        optimizer: AdamArgs = Field(default=AdamArgs(), description="What updates the weights.")

    class Tiny(Experiment[TinyArgs]):
        def build_datasets(self) -> Splits:
            inputs, targets = images(samples)
            return Splits(
                name="synthetic",
                task="classification",
                num_outputs=NUM_CLASSES,
                train={"train": TensorDataset(inputs, targets, source="synthetic")},
            )

        def build_hooks(self) -> list[Hook[object]]:
            return [clock]

    class Clock(Hook[object]):
        seconds = started = 0.0

        def on_dataset_start(self, loop: object) -> None:
            self.started = time.perf_counter()

        def on_dataset_end(self, loop: object) -> None:
            if experiment.epoch > 1:
                self.seconds += time.perf_counter() - self.started

    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        machine = MachineConfig(results_dir=Path(folder), use_cuda=False)
        experiment = Tiny(TinyArgs(epochs=epochs), machine)
        experiment.run(RunOptions(snapshot=False, predictions="none"))
    return samples * (epochs - 1) / clock.seconds


def images(samples: int):
    """Inputs and targets, the same everywhere."""
    import torch

    generator = torch.Generator().manual_seed(1)
    targets = torch.randint(NUM_CLASSES, (samples,), generator=generator)
    return torch.rand(samples, NUM_INPUTS, generator=generator), targets


def report(speed: float) -> None:
    """Rank 0 says how fast it was."""
    if os.environ.get("RANK", "0") == "0":
        print(json.dumps({"samples_per_second": speed}), flush=True)


def _given() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--samples", type=int, default=12_800)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ranks", default="1,2")
    parser.add_argument("--child", choices=["bare", "labwright"], help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
