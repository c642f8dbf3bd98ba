"""Run an experiment of this lab: `python run.py --experiment_id=mnist`; alone it lists them."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "src"))

from lab.registry import EXPERIMENTS  # noqa: E402
from labwright.cli import main  # noqa: E402

if __name__ == "__main__":
    main(EXPERIMENTS)
