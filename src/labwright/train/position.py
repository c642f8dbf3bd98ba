"""`Position`: how far a training has come. No torch."""

import math
from dataclasses import dataclass


@dataclass
class Position:
    """How far the training has come; epochs and steps count from 1, 0 is before the first."""

    epoch: int = 0
    step: int = 0
    """Optimizer steps, in all epochs."""
    num_samples: int = 0
    """Training samples seen, in all epochs."""
    train_seconds: float = 0.0
    learning_rate: float = math.nan
    """That of the last optimizer step, of the first parameter group of the first optimizer."""
