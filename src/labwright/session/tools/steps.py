"""What every tool works with: an experiment built as for a run, whose training steps can be taken one by one."""

import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

from labwright.args import ExperimentArgs, RunOptions, UserError
from labwright.loop import Hook
from labwright.runs import check_writable
from labwright.train import rng_state, set_rng_state

from ..preflight.rehearsal import as_tried, put_back, rehearse, scratch_folder, work_on_copies
from ..preflight.trial import begin_pass, train_on
from ..prepare import prepare
from ..startup import leave_out_imports

if TYPE_CHECKING:
    from labwright.bare import BareExperiment
    from labwright.experiment import Experiment


class Prepared(NamedTuple):
    """An experiment before its first step."""

    experiment: "Experiment[ExperimentArgs]"
    name: str
    """Of its first training set."""
    hooks: Sequence[Hook[Any]]
    """Which it does not have meanwhile."""


@contextmanager
def prepared(experiment: "BareExperiment[ExperimentArgs]") -> Generator[Prepared]:
    """A block with the parts of `experiment` built; after it the experiment and the random numbers are as they were.

    Raises:
        UserError: it does not train with PyTorch, batch by batch, or a run would be refused.
    """
    tried = as_tried(experiment)
    if tried is None:
        raise UserError(
            f"{experiment.args.experiment_id} does not train with PyTorch, batch by batch, in the usual way"
        )
    if experiment.args.epochs == 0:
        raise UserError("--epochs=0 trains nothing; leave it out")
    check_writable(experiment.machine.results_dir)
    leave_out_imports()
    before, numbers = dict(vars(experiment)), rng_state()
    work_on_copies(experiment)
    try:
        with warnings.catch_warnings(), scratch_folder(experiment.machine.results_dir) as folder:
            warnings.simplefilter("ignore")
            experiment.machine = experiment.machine.model_copy(update={"results_dir": folder})
            prepare(experiment, RunOptions(checkpoint_every_seconds=None))
            hooks = experiment.hooks
            rehearse(experiment, folder)
            with experiment.computing():
                yield Prepared(tried, next(iter(tried.splits.train)), hooks)
    finally:
        put_back(experiment, before)
        set_rng_state(numbers)


class Step(NamedTuple):
    """A training step."""

    loss: float
    num_samples: int


def training_steps(experiment: "Experiment[ExperimentArgs]", name: str) -> Generator[Step]:
    """Steps on a training set, epoch after epoch, for as long as they are asked for."""
    experiment.on_experiment_start()
    for epoch in count(1):
        loader = begin_pass(experiment, name, epoch)
        experiment.model.train()
        if hasattr(loader, "set_epoch"):
            loader.set_epoch(epoch)
        experiment.on_epoch_start()
        experiment.on_dataset_start()
        num_samples = 0
        for batch in experiment.stepper.each(loader):
            num_samples += len(batch["index"] if "index" in batch else batch["input"])
            for loss in train_on(experiment, batch):
                yield Step(loss, num_samples)
                num_samples = 0
