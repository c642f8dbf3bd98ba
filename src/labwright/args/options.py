"""`RunOptions`: what concerns one invocation and changes neither weights nor metrics."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from .base import Args

DEBUG_BATCHES, DEBUG_EPOCHS = 2, 2
"""What a debug run does of each dataset, and how often."""


class RunOptions(Args):
    """What to do with the experiment this time, what to record of it and what to show."""

    config: tuple[Path, ...] = Field(default=(), description="YAML or JSON file of values (a preset); repeatable.")
    print_config: bool = Field(default=False, description="Print the effective configuration with sources, and stop.")
    mode: Literal["train", "test", "predict"] = Field(
        default="train", description="train and test; test or predict with the weights of --from_checkpoint."
    )
    only_test: bool = Field(default=False, description="The same as --mode=test.")
    debug: bool = Field(
        default=False, description="Try everything on two batches for two epochs, without trackers; marked as debug."
    )
    predictions: Literal["test", "all", "none"] = Field(
        default="test", description="Sets whose predictions are written, predictions/<set>.csv."
    )
    predict_on_train: bool = Field(default=False, description="Write predictions for the training data too.")
    predict_input: Path | None = Field(
        default=None,
        description="With --mode=predict: a folder of images, a CSV file or shards, instead of the test set.",
    )
    probabilities: bool = Field(default=False, description="Write the probability of every class with predictions.")
    overlap: Literal["warn", "refuse", "allow"] = Field(
        default="warn", description="Equal samples in two splits: warn (refuse above 1 %), refuse, or only warn."
    )
    run_name: str | None = Field(default=None, description="Name of the run in trackers and in its record.")
    tags: tuple[str, ...] = Field(default=(), description="Words to find the run by.")
    results_subdir: Path | None = Field(default=None, description="Folder below the experiment's results folder.")
    resume: str | None = Field(
        default=None, description="Continue this run in its directory: its id, its path, or last; flags are changes."
    )
    skip_existing: bool = Field(
        default=False, description="Stop where a finished run has the same code, arguments and data."
    )
    force: bool = Field(default=False, description="Run although --skip_existing would stop.")
    preflight: bool = Field(
        default=False, description="Try everything once, estimate time, memory and disk space, and stop."
    )
    profile: int | None = Field(
        default=None, ge=1, description="Measure and trace this many training steps: where their time goes, profile/."
    )
    profile_startup: bool = Field(default=False, description="Show what the time to the first step consists of.")
    strategy: Literal["ddp", "fsdp", "zero"] = Field(
        default="ddp", description="Several ranks (torchrun): whole models, sharded ones, or sharded optimizer states."
    )
    snapshot: bool = Field(default=True, description="Keep the exact code of the run in its git repository.")
    log_every_n_steps: int = Field(default=50, gt=0, description="Steps between rows of steps.jsonl.")
    checkpoint_every_n_steps: int | None = Field(
        default=None, ge=1, description="Steps between checkpoints within an epoch; each epoch ends with one anyway."
    )
    checkpoint_every_seconds: float | None = Field(
        default=300.0, gt=0, description="Seconds after which a long epoch gets a checkpoint; none: only at its end."
    )
    keep_checkpoints: int = Field(default=2, ge=1, description="How many of the newest checkpoints are kept.")
    keep_best: int = Field(default=1, ge=1, description="How many of the best checkpoints are kept.")
    background_checkpoints: bool = Field(
        default=True, description="Write a copy of the state while training goes on; false: training waits."
    )
    sharded_checkpoints: bool = Field(
        default=False, description="With strategy=fsdp: each rank writes its part of a checkpoint to a file of its own."
    )
    batch_histograms: bool = Field(default=False, description="Draw histograms of each metric over the batches.")
    use_wandb: bool = Field(default=False, description="Track with Weights & Biases.")
    use_tensorboard: bool = Field(default=False, description="Track with TensorBoard.")
    detect_anomaly: bool = Field(default=False, description="Find the operation behind a NaN gradient (slow).")
    quiet: bool = Field(default=False, description="Show warnings and errors only.")
    as_json: bool = Field(default=False, validation_alias="json", description="Print the summary as JSON on stdout.")

    @model_validator(mode="after")
    def _modes_agree(self) -> Self:
        if self.force and not self.skip_existing:
            raise ValueError("force has no effect without skip_existing")
        if self.resume is not None and self.stage != "train":
            raise ValueError(f"resume continues a training, and mode={self.stage} is none; leave one of the two out")
        if self.sharded_checkpoints and self.strategy != "fsdp":
            raise ValueError(
                f"sharded_checkpoints has no effect with strategy={self.strategy}, only with fsdp; to resume a run "
                "that began with it, add --no-sharded_checkpoints"
            )
        if self.profile is not None and self.stage != "train":
            raise ValueError(f"profile is of training steps, and mode={self.stage} has none; leave one of the two out")
        if self.profile_startup and self.stage != "train":
            raise ValueError(f"profile_startup ends with a training step, and mode={self.stage} has none")
        if self.only_test and self.mode == "predict":
            raise ValueError("only_test is mode=test; leave one of the two out")
        if self.predict_input is not None and self.mode != "predict":
            raise ValueError("predict_input needs mode=predict")
        if self.predictions == "none":
            wanted = {"mode=predict": self.mode == "predict", "predict_on_train": self.predict_on_train}
            for name in [name for name, is_wanted in wanted.items() if is_wanted]:
                raise ValueError(f"{name} writes predictions, and predictions=none does not; leave one of the two out")
        return self

    @property
    def stage(self) -> Literal["train", "test", "predict"]:
        """What to do: `mode`, or its short form."""
        return "test" if self.only_test else self.mode
