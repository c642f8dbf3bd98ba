"""Run an experiment of this lab: `python run.py --experiment_id=mnist`; alone it lists them."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "src"))

from lab.registry import EXPERIMENTS
from labwright.cli import main

if __name__ == "__main__":
    main(EXPERIMENTS)
