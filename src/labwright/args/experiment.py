"""`ExperimentArgs`: what can change weights or metrics. A run's identity, and the content of its args.yaml."""

import re
from typing import Any

from pydantic import Field, model_validator

from .base import Args


class ExperimentArgs(Args):
    """The settings every experiment has; an experiment adds its parts (`model`, `dataset`, `optimizer`, ...)."""

    experiment_id: str = Field(
        default="",
        pattern=r"^$|^[A-Za-z0-9_][A-Za-z0-9_.-]*$",
        description="Which experiment to run; unset: the class's name.",
    )
    epochs: int = Field(default=20, ge=0, description="Passes over the training data; 0 evaluates only.")
    batch_size: int = Field(default=64, gt=0, description="Samples per optimizer step.")
    seed: int = Field(default=0, ge=0, lt=2**63, description="Seed of weights, order and noise (not of the splits).")
    best_model_metric: str = Field(
        default="loss", min_length=1, description="Metric that decides which epoch is best; a bare name means val/."
    )
    minimize_best_model_metric: bool | None = Field(
        default=None, description="Whether lower is better; unset: known from the metric."
    )
    return_best_model: bool = Field(default=True, description="Test and keep the best epoch's weights, not the last.")
    early_stopping_patience: int | None = Field(
        default=None, ge=1, description="Stop after this many epochs in a row without improvement; none: never."
    )
    early_stopping_delta: float = Field(
        default=0.0,
        ge=0,
        allow_inf_nan=False,
        description="How much better than the best so far counts as improvement.",
    )
    gradient_clipping: float | None = Field(
        default=None, gt=0, description="Largest norm of the gradients; larger ones are scaled down."
    )
    from_checkpoint: str | dict[str, str] | None = Field(
        default=None,
        description="Start from these weights: a file or a run directory, or a file for each of some submodules.",
    )
    limit_train_samples: int | None = Field(default=None, ge=1, description="Train on this many samples only.")
    white_noise_sd: float = Field(
        default=0.0, ge=0, allow_inf_nan=False, description="SD of Gaussian noise added to each training input value."
    )
    constant_offset_sd: float = Field(
        default=0.0, ge=0, allow_inf_nan=False, description="SD of one Gaussian offset per training sample."
    )

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        from .machine import MachineConfig
        from .options import RunOptions

        refuse_shared_names(cls, MachineConfig, RunOptions)

    @model_validator(mode="before")
    @classmethod
    def _name_after_class(cls, data: Any) -> Any:
        if isinstance(data, dict) and not data.get("experiment_id") and not cls.model_fields["experiment_id"].default:
            return {**data, "experiment_id": default_id(cls)}  # pyright: ignore[reportUnknownVariableType]
        return data  # pyright: ignore[reportUnknownVariableType]


def default_id(model: type[ExperimentArgs]) -> str:
    """`DigitsGanArgs` -> `digits_gan`."""
    name = model.__name__.removesuffix("Args") or model.__name__
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def refuse_shared_names(*models: type[Args]) -> None:
    """Raise a TypeError where one name stands in two of the classes: each flag must mean one thing."""
    for position, model in enumerate(models):
        for other in models[position + 1 :]:
            shared = sorted(set(model.model_fields) & set(other.model_fields))
            if shared:
                raise TypeError(
                    f"{model.__name__} and {other.__name__} both have the field {', '.join(shared)}; rename one"
                )
