"""labwright against two loops written by hand, in one process, an epoch each in turns.

    python benchmarks/in_turns.py [--workloads=tiny,wide,cnn] [--samples=60000] [--epochs=9]

The rows are those of `train_loop.py`, which measures them in processes of their own: on a machine that is shared, and
as fast as its neighbours let it, two processes a minute apart differ by more than what is to be told. Here all three
train at the same time of day, out of the same memory, which labwright has the process keep; what it asks of the
processor, zeros for denormals, ends where the loops by hand begin. CPU time of an epoch on one thread, medians, and
medians of the ratios of one turn, without the first two; labwright's is all that the process takes in a turn but for
the two loops, the thread that writes checkpoints included. Prints a Markdown table and exits 1 where a limit is passed.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent / "loops"))

import bare
import bare_fused
import with_labwright
from train_loop import LIMIT_FUSED, LIMITS, TITLES
from work import Clock, Epoch, Work

from labwright import MachineConfig
from labwright.runs.plots.throttle import ThrottledPlot
from labwright.runs.terminal import Terminal

BY_HAND = {"bare loop": bare, "bare loop, fused Adam": bare_fused}
NUM_WARM = 2


class InTurns(with_labwright.Benchmark):
    """Before each epoch of its own, one of each loop by hand, while the clock stands still that its pictures go by."""

    by_hand: dict[str, Iterator[Epoch]]

    def __init__(self, args: with_labwright.BenchmarkArgs, machine: MachineConfig) -> None:
        super().__init__(args, machine)
        self.seconds: dict[str, list[float]] = {name: [] for name in ("labwright", *BY_HAND)}
        self._began: float | None = None
        self._others_wall = 0.0

    def on_experiment_start(self) -> None:
        super().on_experiment_start()
        self.recorder.throttle = ThrottledPlot(clock=lambda: time.monotonic() - self._others_wall)

    def on_epoch_start(self) -> None:
        self._note()
        began = time.monotonic()
        torch.set_flush_denormal(False)  # as it is where nobody asks for it
        for name, epochs in self.by_hand.items():
            started = time.thread_time()
            next(epochs)
            self.seconds[name].append(time.thread_time() - started)
        torch.set_flush_denormal(self.args.flush_denormals)
        self._others_wall += time.monotonic() - began
        super().on_epoch_start()

    def train(self) -> None:
        super().train()
        self._note()

    def _note(self) -> None:
        """The turn that ends here, if there was one."""
        now = time.process_time()
        if self._began is not None:
            self.seconds["labwright"].append(now - self._began - sum(self.seconds[name][-1] for name in BY_HAND))
        self._began = now


def main() -> int:
    given = _given()
    torch.set_num_threads(1)
    failures: list[str] = []
    for workload in given.workloads:
        seconds = measure(Work(workload, given.samples, given.epochs))
        print(f"\n| {TITLES[workload]} | CPU s an epoch | labwright's to it | limit |\n|---|---:|---:|---:|")
        print(f"| labwright | {statistics.median(seconds['labwright']):.3f} | 1.00 | |")
        for name, limit in zip(BY_HAND, (LIMITS[workload], LIMIT_FUSED), strict=True):
            pairs = zip(seconds["labwright"], seconds[name], strict=True)
            ratio = statistics.median(ours / theirs for ours, theirs in pairs)
            print(f"| {name} | {statistics.median(seconds[name]):.3f} | {ratio:.3f} | {limit:.2f} |", flush=True)
            if ratio > limit:
                failures.append(f"{workload}: {ratio:.3f} of the {name}, and {limit} is the limit")
    for failure in failures:
        print(f"over the limit: {failure}", file=sys.stderr)
    return int(bool(failures))


def measure(work: Work) -> dict[str, list[float]]:
    """Seconds of each epoch but the first ones, by row."""
    with tempfile.TemporaryDirectory() as folder:
        args = with_labwright.BenchmarkArgs(epochs=work.num_epochs, batch_size=work.batch_size)
        experiment = InTurns(args, MachineConfig(results_dir=Path(folder), use_cuda=False))
        experiment.work, experiment.clock = work, Clock()
        experiment.by_hand = {name: loop.each_epoch(work, Clock()) for name, loop in BY_HAND.items()}
        experiment.run(terminal=Terminal(sys.stderr))
        return {name: seconds[NUM_WARM:] for name, seconds in experiment.seconds.items()}


def _given() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workloads", type=lambda names: names.split(","), default=list(TITLES))
    parser.add_argument("--samples", type=int, default=60_000)
    parser.add_argument("--epochs", type=int, default=9)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
