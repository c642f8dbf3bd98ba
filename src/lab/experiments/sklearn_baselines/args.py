"""What may be said about the sklearn_baselines experiment."""

from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from labwright.args import ExperimentArgs, MachineConfig

if TYPE_CHECKING:
    from .experiment import SklearnBaselines

TableName = Literal["digits", "wine", "breast_cancer", "iris"]
ClassifierName = Literal["most_frequent", "naive_bayes", "nearest_neighbours", "logistic_regression", "random_forest"]


class SklearnBaselinesArgs(ExperimentArgs):
    """Classifiers of scikit-learn on several datasets, one classifier an epoch; needs no PyTorch."""

    classifiers: list[ClassifierName] = Field(
        default=["most_frequent", "naive_bayes", "nearest_neighbours", "logistic_regression", "random_forest"],
        min_length=1,
        description="What is tried, one an epoch, in this order.",
    )
    epochs: int = Field(default=5, ge=1, description="How many of the classifiers are tried; unset: all of them.")
    tables: list[TableName] = Field(
        default=["digits", "wine", "breast_cancer", "iris"],
        min_length=1,
        description="Datasets that ship with scikit-learn; every classifier is fitted on each.",
    )
    val_fraction: float = Field(default=0.2, gt=0, le=0.4, description="Share of each table's rows for validation.")
    test_fraction: float = Field(default=0.2, ge=0, le=0.4, description="Share of each table's rows for the test.")
    split_seed: int = Field(default=0, ge=0, description="Seed of the split alone.")
    best_model_metric: str = Field(
        default="mean/accuracy",
        min_length=1,
        description="Metric that decides which classifier is best: mean/accuracy over all tables, val_wine/loss, ...",
    )

    def build(self, machine: MachineConfig) -> "SklearnBaselines":
        from .experiment import SklearnBaselines

        return SklearnBaselines(self, machine)

    @model_validator(mode="before")
    @classmethod
    def _try_all(cls, data: Any) -> Any:
        if not isinstance(data, dict) or "epochs" in data or not isinstance(data.get("classifiers"), list):
            return data
        return {**data, "epochs": max(1, len(data["classifiers"]))}

    @model_validator(mode="after")
    def _one_epoch_each(self) -> Self:
        if self.epochs > len(self.classifiers):
            raise ValueError(f"epochs={self.epochs}, but there are {len(self.classifiers)} classifiers, one an epoch")
        return self
