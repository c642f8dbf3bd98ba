"""The lab's mnist experiment, the process of which ends right after its first step. It stands beside run.py."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "src"))

from lab.experiments.mnist.args import MnistArgs
from labwright import MachineConfig, main


class FirstStepArgs(MnistArgs):
    """Handwritten digits, one step."""

    def build(self, machine: MachineConfig) -> object:
        from lab.experiments.mnist.experiment import Mnist

        class FirstStep(Mnist):
            def on_batch_end(self) -> None:
                os._exit(0)

        return FirstStep(self, machine)


if __name__ == "__main__":
    main(FirstStepArgs)
