"""`ExperimentArgs`: what can change weights or metrics. A run's identity, and the content of its args.yaml."""

import re
from typing import TYPE_CHECKING, Any, Literal, Self, cast

from pydantic import BaseModel, Field, JsonValue, field_validator, model_validator

from .annotations import field_aliases
from .base import Args

if TYPE_CHECKING:
    from .machine import MachineConfig


_NEEDS = {
    "ema_decay": ("ema_warmup_steps", "ema_every_n_steps", "use_ema_weights"),
    "early_stopping_patience": ("early_stopping_delta",),
}
"""Settings that mean nothing without another one."""
_SAFE: dict[str, JsonValue] = {"resume": "safe"}
_FORBIDDEN: dict[str, JsonValue] = {"resume": "forbidden"}
"""What changing a setting means for a run that is resumed; `labwright.args.resume` has the words."""


class ExperimentArgs(Args):
    """The settings every experiment has; an experiment adds its parts (`model`, `dataset`, `optimizer`, ...)."""

    experiment_id: str = Field(
        default="",
        description="Which experiment to run; empty: the name of the args class.",
        json_schema_extra=_FORBIDDEN,
    )
    epochs: int = Field(
        default=20, ge=0, description="Passes over the training data; 0 evaluates only.", json_schema_extra=_SAFE
    )
    batch_size: int = Field(default=32, gt=0, description="Samples per batch, over all ranks.")
    seed: int = Field(
        default=0,
        ge=0,
        lt=2**32,
        description="Seed of weights, order and noise (not of the splits).",
        json_schema_extra=_FORBIDDEN,
    )
    best_model_metric: str = Field(
        default="loss",
        min_length=1,
        description="Metric that decides which epoch is best, such as val/loss or mean/loss; a bare name means val/.",
    )
    minimize_best_model_metric: bool | None = Field(
        default=None, description="Whether lower is better; unset: known from the metric."
    )
    return_best_model: bool = Field(
        default=True, description="Test and keep the best epoch's weights, not the last.", json_schema_extra=_SAFE
    )
    early_stopping_patience: int | None = Field(
        default=None,
        ge=1,
        description="Stop after this many epochs in a row without improvement; none: never.",
        json_schema_extra=_SAFE,
    )
    early_stopping_delta: float = Field(
        default=0.0,
        ge=0,
        allow_inf_nan=False,
        description="How much better than the best so far counts as improvement.",
        json_schema_extra=_SAFE,
    )
    accumulate_batches: int = Field(
        default=1, ge=1, description="Batches per optimizer step; their mean is that of one large batch."
    )
    gradient_clipping: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="Largest norm of the gradients; larger ones are scaled down.",
    )
    gradient_clipping_value: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="Largest absolute value of each gradient; larger ones are cut.",
    )
    max_skipped_steps: int = Field(
        default=0,
        ge=0,
        description="Steps in a row with a NaN or infinite loss or gradient that are skipped; 0: stop.",
        json_schema_extra=_SAFE,
    )
    sync_batchnorm: bool = Field(
        default=False, description="Several ranks: batch normalization over the samples of all of them (not on a CPU)."
    )
    precision: Literal["fp32", "bf16", "fp16"] = Field(
        default="fp32", description="Number format of the forward pass; fp16 scales the loss."
    )
    matmul_precision: Literal["highest", "high", "medium"] = Field(
        default="highest",
        description="Products of 32-bit matrices: highest is exact, high and medium use TF32 or bf16 where there is.",
    )
    flush_denormals: bool = Field(
        default=True,
        description="Take numbers below 1.2e-38 for zero on the CPU, which is slow at them.",
        json_schema_extra=_SAFE,
    )
    keep_freed_memory: bool = Field(
        default=True,
        description="Keep main memory that tensors free for the next step, while there is plenty (glibc).",
        json_schema_extra=_SAFE,
    )
    compile: bool = Field(
        default=False,
        description="Compile model and loss (torch.compile): a slow start, then faster on most GPUs.",
        json_schema_extra=_SAFE,
    )
    channels_last: bool | Literal["auto"] = Field(
        default="auto",
        description="Lay out convolutions' weights channels last; auto: if the model says that it is faster so.",
        json_schema_extra=_SAFE,
    )
    cuda_graphs: bool | Literal["auto"] = Field(
        default=False,
        description="Train by CUDA graphs; auto: small models that take a plain step on a GPU.",
        json_schema_extra=_SAFE,
    )
    ema_decay: float | None = Field(
        default=None, gt=0, lt=1, description="Decay of a running average of the weights; none: no average."
    )
    ema_warmup_steps: int = Field(default=0, ge=0, description="Steps over which the average's decay rises.")
    ema_every_n_steps: int = Field(default=1, ge=1, description="Steps between updates of the average.")
    use_ema_weights: bool = Field(
        default=True, description="Validate, test and keep the average of the weights, where there is one."
    )
    metrics: dict[str, list[str]] = Field(
        default={}, description='Metrics by group, such as {"binary_classification": ["f1", "roc_auc"]}.'
    )
    metric_inputs: dict[str, str] = Field(
        default={}, description='Which output or batch key a metric reads, such as {"preds": "reconstruction"}.'
    )
    threshold_metric: Literal["f1", "accuracy", "balanced_accuracy"] | None = Field(
        default=None, description="Choose the threshold of a binary classifier on validation, best by this metric."
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

    @model_validator(mode="after")
    def _nothing_is_said_in_vain(self) -> Self:
        fields = ExperimentArgs.model_fields
        for needed, names in _NEEDS.items():
            if getattr(self, needed) is not None:
                continue
            for name in names:
                if getattr(self, name) != fields[name].default:
                    raise ValueError(f"{name} has no effect without {needed}")
        return self

    def build(self, machine: "MachineConfig") -> Any:
        """The experiment which these args describe; imports of torch and of implementations belong in here."""
        raise NotImplementedError(f"{type(self).__name__} needs a build(machine) that returns its Experiment")

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        from .machine import MachineConfig
        from .options import RunOptions

        refuse_shared_names(cls, MachineConfig, RunOptions)

    @field_validator("experiment_id")
    @classmethod
    def _is_a_folder_name(cls, experiment_id: str) -> str:
        if experiment_id and not re.fullmatch(r"\w[\w.-]*", experiment_id, re.ASCII):
            raise ValueError("an id is made of letters, digits, _, . and -, and begins with a letter, digit or _")
        return experiment_id

    @model_validator(mode="before")
    @classmethod
    def _name_after_class(cls, data: Any) -> Any:
        if not isinstance(data, dict) or cls.model_fields["experiment_id"].default:
            return data  # pyright: ignore[reportUnknownVariableType]
        given = cast(dict[str, Any], data)
        return given if given.get("experiment_id") else {**given, "experiment_id": default_id(cls)}


def default_id(model: type[ExperimentArgs]) -> str:
    """`DigitsGanArgs` -> `digits_gan`."""
    name = model.__name__.removesuffix("Args") or model.__name__
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def refuse_shared_names(*models: type[BaseModel]) -> None:
    """Raise a TypeError where one name stands in two of the classes: each flag must mean one thing."""
    for position, model in enumerate(models):
        for other in models[position + 1 :]:
            shared = sorted(_names(model) & _names(other))
            if shared:
                raise TypeError(
                    f"{model.__name__} and {other.__name__} both have the field {', '.join(shared)}; rename one"
                )


def _names(model: type[BaseModel]) -> set[str]:
    return {name for key, field in model.model_fields.items() for name in (key, *field_aliases(field))}
