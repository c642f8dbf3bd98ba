"""`--preflight`: everything that a run will do tried once, and what the whole of it will take.

build -> train -> evaluate -> save -> return there and train the same again -> predict, draw -> trackers -> schedule
"""

import math
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labwright.args import ExperimentArgs, RunOptions, UserError
from labwright.args.wording import listed
from labwright.loop import NestedLoop
from labwright.runs import check_writable, write_durably
from labwright.runs.plots import plot_history
from labwright.runs.sizes import bytes_text
from labwright.trackers import Tracker
from labwright.train.distributed.world import launched_size

from ..keeper import host_memory
from ..predictions import Predictions, write_predictions
from ..prepare import prepare
from ..run import predict_wanted
from .checks import Check, Preflight, said
from .estimates import estimate
from .learning import follow_schedule, look_at_gradients
from .quick import not_exact
from .rehearsal import (
    as_tried,
    close_workers,
    difference,
    put_back,
    rehearse,
    save_state,
    scratch_folder,
    work_on_copies,
)
from .trackers import try_tracker

if TYPE_CHECKING:
    from labwright.bare import BareExperiment
    from labwright.experiment import Experiment

_TIMED_SECONDS, _TIMED_STEPS = 2.0, 50
_RESUMED_STEPS = 3
_EVALUATED_BATCHES = 2


def run_preflight(experiment: "BareExperiment[ExperimentArgs]", options: RunOptions) -> Preflight:
    """Try everything that a run with these options does, each once, and leave nothing behind.

    Raises:
        UserError: what a run would refuse before it begins.
    """
    if options.resume is not None:
        raise UserError("--preflight tries a new run; leave --resume out")
    if launched_size() > 1:
        raise UserError("--preflight tries a run in one process; leave torchrun out")
    check_writable(experiment.machine.results_dir)
    before, trial = dict(vars(experiment)), _Trial(experiment, options)
    work_on_copies(experiment)
    try:
        with (
            warnings.catch_warnings(),
            scratch_folder(experiment.machine.results_dir) as folder,
            experiment.computing(),
        ):
            warnings.simplefilter("ignore")
            trial.try_all(folder)
    finally:
        put_back(experiment, before)
    return trial.report


class _Trial:
    """Fills a report, check by check."""

    def __init__(self, experiment: "BareExperiment[ExperimentArgs]", options: RunOptions) -> None:
        self.experiment = experiment
        self.options = options
        self.report = Preflight(experiment.args.experiment_id)
        self.pace: dict[str, float] = {}
        """Seconds per batch, by dataset."""
        self.metrics: dict[str, dict[str, float]] = {}
        self.predictions: dict[str, Predictions] = {}

    def try_all(self, folder: Path) -> None:
        """Every check that makes sense of this experiment and what it is to do."""
        self.folder = folder
        self._build()
        self.tried = as_tried(self.experiment)
        self._rehearse()
        is_training = self.options.stage == "train"
        if self.tried is not None:
            self._try_batches(self.tried)
        else:
            self.report.leave_out("batches", "this experiment passes over its data in a way of its own")
        if is_training:
            self._try_deciding()
            self._try_checkpoints()
        if self.tried is not None:
            if is_training and self.experiment.args.threshold_metric is not None:
                self._attempt("threshold", lambda check: self.experiment.choose_threshold())
            self._attempt("model", self._store_model)
            self._attempt("predictions", self._predict, is_vital=self.options.stage == "predict")
            self._attempt("plots", self._plot, is_vital=False)
        if not self.options.debug:
            self._try_trackers()
        if is_training and self.tried is not None and self.experiment.num_epochs:
            tried = self.tried
            self._attempt("schedule", lambda check: follow_schedule(tried, check))
        self._estimate()

    def _rehearse(self) -> None:
        rehearse(self.experiment, self.folder)

    def _build(self) -> None:
        """What is wrong here is an error, as it is for a run."""
        started = time.perf_counter()
        prepare(self.experiment, self.options)
        check = Check("build", note=self.experiment.device_name(), seconds=time.perf_counter() - started)
        if self.experiment.warnings:
            check.warn("; ".join(self.experiment.warnings))
        self.report.checks.append(check)

    def _attempt(self, name: str, act: Callable[[Check], Any], *, is_vital: bool = True) -> None:
        """Fill the check `name`. What is not vital is a warning where it fails, as it is in a run."""

        def act_here(check: Check) -> None:
            try:
                act(check)
            except Exception as error:
                told = _overridden_starts(self.experiment)
                if isinstance(error, AttributeError) and error.obj is self.experiment and told:
                    check.status, check.note = "not tried", f"{said(error)}; {listed(told)} is not called here"
                elif is_vital:
                    raise
                else:
                    check.warn(said(error))

        self.report.attempt(name, act_here)

    # -- batches

    def _try_batches(self, experiment: "Experiment[ExperimentArgs]") -> None:
        splits, is_training = experiment.splits, self.options.stage == "train"
        if is_training and experiment.num_epochs:
            from .trial import watched_gradients

            with watched_gradients(experiment) as without:
                for name in splits.train:
                    self._attempt(f"train on {name}", lambda check, name=name: self._train(experiment, name, check))
            if self.pace:
                self._attempt("gradients", lambda check: look_at_gradients(experiment, without, check))
        for name in (*(splits.val if is_training else ()), *(splits.test if self.options.stage != "predict" else ())):
            self._attempt(f"evaluate {name}", lambda check, name=name: self._evaluate(experiment, name, check))

    def _train(self, experiment: "Experiment[ExperimentArgs]", name: str, check: Check) -> None:
        from .trial import take_steps

        steps = take_steps(experiment, name, epoch=1, num_steps=_TIMED_STEPS, seconds=_TIMED_SECONDS)
        self.pace[name], self.metrics[name] = steps.seconds_per_batch, {"loss": steps.losses[-1]}
        check.note = (
            f"{len(steps.losses)} steps, {1000 * steps.seconds_per_batch:.3g} ms a batch, "
            f"loss {steps.losses[0]:.4g} to {steps.losses[-1]:.4g}"
        )

    def _evaluate(self, experiment: "Experiment[ExperimentArgs]", name: str, check: Check) -> None:
        from .trial import evaluate_batches

        metrics, self.pace[name] = evaluate_batches(experiment, name, _EVALUATED_BATCHES)
        self.metrics[name] = metrics
        check.note = ", ".join(f"{metric} {value:.4g}" for metric, value in metrics.items())
        if not math.isfinite(metrics.get("loss", 0.0)):
            check.fail(f"the loss is {metrics['loss']}")

    def _try_deciding(self) -> None:
        best, patience = self.experiment.best_metric, self.experiment.args.early_stopping_patience
        if best is None or not self.metrics:
            return

        def decide(check: Check) -> None:
            value = self.experiment.deciding_value(self.metrics)
            direction = "lower" if best[1] else "higher"
            check.note = f"{best[0]}, {direction} is better" + (f"; now {value:.4g}" if value is not None else "")
            if value is not None and not math.isfinite(value):
                check.warn(f"{best[0]} is no number on the first batches")
            elif patience is not None and patience >= self.experiment.num_epochs:
                check.warn(f"early stopping waits {patience} epochs, and there are {self.experiment.num_epochs}")

        self._attempt("best metric", decide)

    # -- what a run leaves

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint.safetensors"

    def _try_checkpoints(self) -> None:
        self._attempt("save", self._save)
        if not self.checkpoint.is_file():
            return
        trained = self.tried if self.pace and self.experiment.num_epochs else None
        self._attempt("resume", lambda check: self._resume(trained, check))

    def _save(self, check: Check) -> None:
        content = self.experiment.checkpoint()
        if content is None:
            check.warn("nothing is kept: a run that is resumed begins anew")
            return
        if self.options.background_checkpoints and hasattr(content, "copied_to"):
            content = content.copied_to(host_memory())  # as the run does: what it takes is counted
        write_durably(self.checkpoint, content)
        check.note = f"{bytes_text(self.checkpoint.stat().st_size)} a checkpoint"

    def _resume(self, trained: "Experiment[ExperimentArgs] | None", check: Check) -> None:
        """Build everything anew, return to the checkpoint, and compare what comes next; bit by bit."""
        if trained is None:
            where = difference(self._state("saved"), self._state("loaded", self._return))
            check.note = "the state that was saved comes back"
        else:
            from .trial import difference_of_resumed, is_rounding

            where = difference_of_resumed(
                trained, self.checkpoint, num_steps=_RESUMED_STEPS, build_anew=self._build_anew
            )
            check.note = "the same steps again are the same bits"
            if where is not None and is_rounding(trained, where):
                return check.warn(f"{where} differs; if it is not by rounding, the run will not resume exactly")
        if where is not None:
            check.warn(not_exact(where))

    def _state(self, name: str, change: Callable[[], Any] = lambda: None) -> Path:
        change()
        self.experiment.seed_everything(0)
        return save_state(self.experiment, self.folder / name)

    def _build_anew(self) -> None:
        close_workers(self.experiment)
        prepare(self.experiment, self.options)
        self._rehearse()

    def _return(self) -> None:
        self._build_anew()
        self.experiment.resume_from(self.checkpoint)

    def _store_model(self, check: Check) -> None:
        path = self.experiment.run_directory.model_path
        self.experiment.store_model(path)
        check.note = bytes_text(path.stat().st_size) if path.is_file() else "none is kept"

    def _predict(self, check: Check) -> None:
        self.predictions = predict_wanted(self.experiment)
        written = write_predictions(self.experiment, self.predictions)
        check.note = listed(f"{name}.csv" for name in written) or "none"

    def _plot(self, check: Check) -> None:
        directory, drawn = self.experiment.run_directory, list[Path]()
        if self.metrics and self.options.stage == "train":
            rows = [{"epoch": 1, "step": 1, "split": name, "metrics": of} for name, of in self.metrics.items()]
            plot_history(rows, directory.plot_path, title=self.report.experiment_id)
            drawn.append(directory.plot_path)
        drawn += self.experiment.plot(directory, self.predictions)
        check.note = listed(path.name for path in drawn) or "none"

    # -- the rest

    def _try_trackers(self) -> None:
        found: list[Tracker] = []
        self._attempt("trackers", lambda check: found.extend(self._build_trackers(check)))
        for tracker in found:
            self._attempt(
                tracker.name, lambda check, tracker=tracker: try_tracker(tracker, self.experiment, self.folder, check)
            )

    def _build_trackers(self, check: Check) -> Sequence[Tracker]:
        trackers = self.experiment.build_trackers(self.options, check.warn)
        check.note = check.note or listed(tracker.name for tracker in trackers) or "none"
        return trackers

    def _estimate(self) -> None:
        by_name = {check.name: check for check in self.report.checks}
        saving = by_name["save"].seconds if "save" in by_name else 0.0
        model = self.experiment.run_directory.model_path
        predicted = [
            path.stat().st_size * len(self.experiment.loaders[path.stem])
            for path in (self.folder / "predictions").glob("*.csv")
            if hasattr(self.experiment.loaders.get(path.stem), "__len__")
        ]
        found = self.report.estimate = estimate(
            self.experiment,
            self.folder,
            self.pace,
            checkpoint_bytes=self.checkpoint.stat().st_size if self.checkpoint.is_file() else None,
            other_bytes=sum(predicted) + (model.stat().st_size if model.is_file() else 0),
            seconds_per_checkpoint=saving,
        )
        check = Check("disk", note=f"{bytes_text(found.free_bytes)} free in {self.experiment.machine.results_dir}")
        if found.lack_of_space is not None:
            check.fail(found.lack_of_space)
        self.report.checks.append(check)


def _overridden_starts(experiment: "BareExperiment[ExperimentArgs]") -> list[str]:
    """The events before a batch that the experiment acts on itself."""
    names = [f"on_{level}_start" for level in ("experiment", "epoch", "dataset", "batch")]
    return [name for name in names if getattr(type(experiment), name) is not getattr(NestedLoop, name)]
