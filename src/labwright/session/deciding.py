"""Which metric decides what is best, and what it came to.

val/accuracy            the metric of one set
a+b/accuracy            its mean over these sets
mean/accuracy           its mean over all validation sets that are not for demonstration only
accuracy                val/accuracy; mean/accuracy where no validation set is called val
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from labwright.args import ExperimentArgs, UserError

if TYPE_CHECKING:
    from labwright.bare import BareExperiment
    from labwright.datasets import Splits

MEAN = "mean"


def choose_best_metric(experiment: "BareExperiment[ExperimentArgs]") -> tuple[str, bool] | None:
    """Full name of the deciding metric and whether lower is better; None where no validation set decides.

    Raises:
        UserError: it is not measured, or not on a set that may decide.
    """
    args, splits = experiment.args, experiment.splits
    directions = experiment.metric_directions()
    deciding = list(splits.deciding_val)
    sets, slash, metric = args.best_model_metric.rpartition("/")
    if not slash:
        sets = "val" if "val" in deciding else MEAN
    allowed = [*deciding, *splits.train]
    if not slash and not deciding:
        if metric not in directions:
            raise UserError(f"--best_model_metric: {metric!r} is not measured; known: {', '.join(directions)}")
        if args.early_stopping_patience is not None:
            raise UserError("--early_stopping_patience needs a validation set; raise --val_fraction or leave it out")
        return None
    for name in deciding[:1] if sets == MEAN else sets.split("+"):
        if name in splits.demo_only:
            raise UserError(f"--best_model_metric: {name} is for demonstration only and never decides")
        if name not in allowed or metric not in directions:
            known = ", ".join(f"{name}/{known}" for name in allowed for known in directions)
            raise UserError(f"--best_model_metric: {args.best_model_metric!r} is not measured; known: {known}")
    if sets == MEAN and not deciding:
        raise UserError(f"--best_model_metric: {args.best_model_metric!r} needs a validation set; there is none")
    minimize = args.minimize_best_model_metric
    return f"{sets}/{metric}", not directions[metric] if minimize is None else minimize


def deciding_value(name: str, results: Mapping[str, Mapping[str, float]], splits: "Splits") -> float | None:
    """The value of the metric `name` (full) among the results of an epoch; None where a set was not passed over.

    Raises:
        UserError: a set was passed over, and the metric is not among what it came to.
    """
    sets, _, metric = name.rpartition("/")
    names = list(splits.deciding_val) if sets == MEAN else sets.split("+")
    if any(not results.get(name) for name in names):
        return None
    for set_name in names:
        if metric not in results[set_name]:
            measured = ", ".join(results[set_name])
            raise UserError(
                f"--best_model_metric: {set_name}/{metric} is not among what {set_name} came to ({measured}); "
                "metric_directions() has to name what is measured"
            )
    return sum(results[set_name][metric] for set_name in names) / len(names)
