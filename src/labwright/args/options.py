"""`RunOptions`: what concerns one invocation and changes neither weights nor metrics."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from .base import Args


class RunOptions(Args):
    """What to do with the experiment this time, what to record of it and what to show."""

    config: tuple[Path, ...] = Field(default=(), description="YAML or JSON file of values (a preset); repeatable.")
    print_config: bool = Field(default=False, description="Print the effective configuration with sources, and stop.")
    only_test: bool = Field(default=False, description="Evaluate the weights of --from_checkpoint; no training.")
    predict_on_train: bool = Field(default=False, description="Write predictions for the training data too.")
    overlap: Literal["warn", "refuse", "allow"] = Field(
        default="warn", description="Equal samples in two splits: warn (refuse above 1 %), refuse, or only warn."
    )
    run_name: str | None = Field(default=None, description="Name of the run in trackers and in its record.")
    tags: tuple[str, ...] = Field(default=(), description="Words to find the run by.")
    results_subdir: Path | None = Field(default=None, description="Folder below the experiment's results folder.")
    log_every_n_steps: int = Field(default=50, gt=0, description="Steps between rows of steps.jsonl.")
    batch_histograms: bool = Field(default=False, description="Draw histograms of each metric over the batches.")
    use_wandb: bool = Field(default=False, description="Track with Weights & Biases.")
    use_tensorboard: bool = Field(default=False, description="Track with TensorBoard.")
    detect_anomaly: bool = Field(default=False, description="Find the operation behind a NaN gradient (slow).")
    quiet: bool = Field(default=False, description="Show warnings and errors only.")
    as_json: bool = Field(default=False, validation_alias="json", description="Print the summary as JSON on stdout.")
