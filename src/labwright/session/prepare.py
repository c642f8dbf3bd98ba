"""What is refused before anything is written, of any experiment: settings, folders, names, the deciding metric."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from labwright.args import ExperimentArgs, RunOptions, UserError
from labwright.args.options import DEBUG_EPOCHS
from labwright.datasets import Splits, check_overlap
from labwright.loop import Hook
from labwright.runs import Artifacts, check_writable, run_parent
from labwright.train import BestTracker, EarlyStopping, Position

from .deciding import choose_best_metric
from .launch import changed_fields
from .startup import DATA, OVERLAP, PARTS, mark

if TYPE_CHECKING:
    from labwright.bare import BareExperiment

_UNUSUAL_OPTIONS = frozenset(
    {
        "batch_histograms",
        "checkpoint_every_n_steps",
        "checkpoint_every_seconds",
        "detect_anomaly",
        "log_every_n_steps",
        "probabilities",
        "profile",
        "strategy",
    }
)
"""What concerns training by steps or classes, which not every experiment has."""

_ALWAYS_USED = frozenset(
    {
        "experiment_id",
        "epochs",
        "seed",
        "best_model_metric",
        "minimize_best_model_metric",
        "return_best_model",
        "early_stopping_patience",
        "early_stopping_delta",
    }
)


def prepare(experiment: "BareExperiment[ExperimentArgs]", options: RunOptions) -> None:
    """Build the experiment's parts and check that they fit together; nothing is written but the datasets' cache.

    Raises:
        UserError: something does not fit.
    """
    args, machine = experiment.args, experiment.machine
    _refuse_unused(experiment, options)
    vars(experiment).pop("recorder", None)  # what it says of an earlier run is no longer true
    if options.resume is None:
        check_writable(run_parent(machine.results_dir, args.experiment_id, options.results_subdir))
    experiment.options = options
    experiment.num_epochs = min(args.epochs, DEBUG_EPOCHS) if options.debug else args.epochs
    if options.profile is not None and experiment.num_epochs == 0:
        raise UserError("--profile is of training steps, and --epochs=0 has none; leave one of the two out")
    experiment.epoch, experiment.position, experiment.threshold = 0, Position(), None
    if experiment.artifacts.are_kept:  # of an earlier run; what was collected since then belongs to this one
        experiment.artifacts = Artifacts()
    experiment.progress = experiment.interrupted = None
    experiment.metrics_before, experiment.is_over = {}, False
    experiment.test_metrics, experiment.plots, experiment.prediction_files = {}, [], {}
    experiment.seed_everything(args.seed)
    experiment.splits = _datasets(experiment)
    mark(experiment, DATA)
    experiment.warnings = [*experiment.splits.warnings, *check_overlap(experiment.splits, options.overlap)]
    mark(experiment, OVERLAP)
    experiment.chosen = {}
    experiment.best_metric = choose_best_metric(experiment)
    if experiment.best_metric is None and options.stage == "train" and experiment.num_epochs:
        if options.keep_best > 1:
            raise UserError("--keep_best needs a validation set to decide by; leave it out")
        experiment.warnings.append("no validation set decides: the last epoch's weights are kept")
    experiment.seed_everything(args.seed)  # the weights do not depend on what the data needed randomness for
    experiment.build_parts()
    mark(experiment, PARTS)
    minimize = experiment.best_metric is None or experiment.best_metric[1]
    experiment.best = BestTracker(minimize=minimize)
    patience = args.early_stopping_patience
    experiment.early_stopping = (
        None if patience is None else EarlyStopping(patience, minimize=minimize, delta=args.early_stopping_delta)
    )
    hooks: object = experiment.build_hooks()
    if not isinstance(hooks, Sequence) or not all(isinstance(hook, Hook) for hook in hooks):
        raise UserError(f"{type(experiment).__name__}.build_hooks must return a list of Hook objects, not {hooks!r}")
    experiment.hooks = hooks


def _refuse_unused(experiment: "BareExperiment[ExperimentArgs]", options: RunOptions) -> None:
    """A setting that is accepted must have its effect."""
    changed = {*changed_fields(experiment.args)} & ExperimentArgs.model_fields.keys() - _ALWAYS_USED
    changed |= {*changed_fields(options)} & _UNUSUAL_OPTIONS
    for name in sorted(changed - experiment.uses):
        raise UserError(f"--{name}: {experiment.args.experiment_id} does not use it; leave it out")


def _datasets(experiment: "BareExperiment[ExperimentArgs]") -> Splits:
    options = experiment.options
    if options.stage != "train" and "from_checkpoint" not in experiment.uses:
        raise UserError(
            f"--mode={options.stage}: {experiment.args.experiment_id} keeps no weights to {options.stage} with"
        )
    with experiment.world.main_first():  # it may download what the others then find
        splits = experiment.build_datasets()
    for name in (*splits.train, *splits.val, *splits.test):
        if not re.fullmatch(r"\w[\w.-]*", name):
            raise UserError(f"a dataset is called {name!r}; its name names files: letters, digits, _, . and - only")
    if options.stage == "test" and not splits.test:
        flag = "--only_test" if options.only_test else "--mode=test"
        raise UserError(f"{flag}: {splits.name} has no test set")
    return splits
