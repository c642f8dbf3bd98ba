"""One run in time order: prepare, open the run directory, run the experiment, finish."""

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from labwright.args import ExperimentArgs, RunOptions, UserError
from labwright.runs import copied_to
from labwright.runs.durable import remove_temporaries
from labwright.runs.terminal import Terminal

from .code import finished_twin, warnings_of_changed_code
from .earlier import Earlier, Parent, begin_child, check_data, check_epochs, differences_of_environment
from .in_vain import settings_in_vain
from .launch import Launch
from .predictions import Predictions, write_predictions
from .preflight import quick_preflight
from .prepare import prepare
from .profiling import profiled
from .ranks import (
    difference_of_ranks,
    follower_class,
    joined,
    note_failure,
    open_earlier_together,
    open_together,
    stop_request,
)
from .recorder import Recorder
from .result import RunResult, flat
from .startup import PREFLIGHT, await_first_step, leave_out_imports, mark, report, starting_up

if TYPE_CHECKING:
    from labwright.bare import BareExperiment


def run_session(
    experiment: "BareExperiment[ExperimentArgs]",
    options: RunOptions,
    terminal: Terminal | None = None,
    launch: Launch | None = None,
) -> RunResult:
    """Run `experiment` and leave its run directory; see `BareExperiment.run`."""
    if options.preflight:
        raise UserError("--preflight is no run; call the experiment's preflight() for what it says")
    leave_out_imports()
    terminal, launch = terminal or Terminal(), launch or Launch()
    with joined(experiment, options) as options:
        return _run_joined(experiment, options, terminal, launch)


def _run_joined(
    experiment: "BareExperiment[ExperimentArgs]", options: RunOptions, terminal: Terminal, launch: Launch
) -> RunResult:
    started, world = time.perf_counter(), experiment.world
    stop = stop_request(world)
    if not world.is_main:
        terminal.stream = None
    with stop.listening(), ExitStack() as stack:
        parent = earlier = None
        if options.resume is not None:
            earlier = stack.enter_context(open_earlier_together(experiment, options))
        if earlier is not None and earlier.is_done:
            done = earlier.directory.path
            world.on_main(lambda: remove_temporaries(done))  # it may have been killed after its last word
            terminal.line(f"{done.name} is finished; a larger --epochs would continue it")
            return RunResult.from_json(earlier.record["result"], done)
        if earlier is not None and earlier.needs_child:
            if world.size > 1 and options.strategy == "fsdp":
                raise UserError(
                    "--resume: what changed needs a child run, which --strategy=fsdp cannot begin; start a new run "
                    f"with --from_checkpoint={earlier.directory.path}"
                )
            parent = begin_child(experiment, earlier, terminal)
            options = options.model_copy(update={"resume": None})
        experiment.is_taken_up = parent is None and earlier is not None and earlier.checkpoint is not None
        stack.enter_context(starting_up(experiment, options, launch.startup))
        with world.watching(), world.refusing_together():
            prepare(experiment, options)
        if parent is not None and earlier is not None:
            earlier.lock.release()  # it has given its weights
            earlier = None
        if options.skip_existing and not options.force:
            twin = world.on_main(lambda: finished_twin(experiment, launch))
            if twin is not None:
                terminal.line(f"already trained as {twin.path.name}; --force trains again")
                return RunResult.from_json(twin.record()["result"], twin.path)
        if earlier is None and world.size == 1:
            with experiment.computing():
                quick_preflight(experiment, terminal)
        is_tracked = world.is_main and not options.debug
        with world.refusing_together():
            trackers = experiment.build_trackers(options, terminal.warn) if is_tracked else []
        with world.watching(), world.refusing_together():
            num_rows = _return_to(experiment, earlier)
        if world.is_main:
            experiment.warnings += warnings_of_changed_code(experiment, earlier.directory if earlier else None, launch)
        experiment.warnings += settings_in_vain(experiment, launch)
        for warning in experiment.warnings:
            terminal.warn(warning)
        mark(experiment, PREFLIGHT)
        recorder_class = Recorder if world.is_main else follower_class()
        recorder = recorder_class(experiment, terminal, trackers, started=started, launch=launch, stop=stop)
        stack.callback(recorder.close)
        open_together(recorder, lambda: _open(recorder, parent, earlier, num_rows))
        return _run(experiment, recorder)


def _open(recorder: Recorder, parent: Parent | None, earlier: Earlier | None, num_rows: dict[str, Any]) -> None:
    if earlier is None:
        recorder.begin(parent)
    else:
        recorder.take_up(earlier, num_rows)


def _return_to(experiment: "BareExperiment[ExperimentArgs]", earlier: Earlier | None) -> dict[str, Any]:
    """Bring the experiment to where the run was left; how many rows its files had then."""
    if earlier is None:
        return {}
    check_data(earlier.record, experiment.splits.fingerprint)
    num_rows = {} if earlier.checkpoint is None else experiment.resume_from(earlier.checkpoint)
    if any(change.path == "epochs" for change in earlier.changes):
        experiment.is_over = False  # more is wanted of a training that had been stopped
    experiment.warnings += differences_of_environment(earlier.record, experiment.device_name())
    experiment.warnings += difference_of_ranks(earlier.record, experiment.world)
    check_epochs(experiment.num_epochs, experiment.position.epoch)
    return num_rows


def _run(experiment: "BareExperiment[ExperimentArgs]", recorder: Recorder) -> RunResult:
    experiment.recorder = recorder
    try:
        with copied_to(recorder.log):
            try:
                with experiment.world.watching(), experiment.computing():
                    experiment.world.on_main(recorder.start)
                    await_first_step(experiment)
                    experiment.run_loop()
                    report(experiment)
                    result = experiment.world.on_main(lambda: experiment.result)
            finally:
                experiment.close_loaders()
            experiment.world.on_main(lambda: recorder.finish(result))
    except BaseException as error:
        note_failure(recorder, error)
        recorder.fail(error)
        recorder.terminal.has_told = True
        raise
    recorder.close()
    if recorder.log.failure is not None:  # what was said after the end found no room: no good end
        recorder.terminal.has_told = True
        raise recorder.log.failure
    return result


def run_stages(experiment: "BareExperiment[ExperimentArgs]") -> None:
    """Train, go back to the best epoch, test, keep, predict and draw, as far as the mode asks for it."""
    stage = experiment.options.stage
    if stage == "train":
        _train(experiment)
        experiment.recorder.keeper.end()
        _take_returned_state(experiment)
    with experiment.whole_model():
        experiment.choose_threshold()
    if stage != "predict":
        _test(experiment)
        experiment.store_model(experiment.run_directory.model_path)
    with experiment.whole_model():
        experiment.world.on_main(lambda: _draw(experiment))
    if not experiment.world.is_main:
        return
    if stage == "predict" and not experiment.prediction_files:
        raise UserError(f"--mode=predict: {experiment.args.experiment_id} predicts nothing that can be written")


def _train(experiment: "BareExperiment[ExperimentArgs]") -> None:
    """Train, or where there are no epochs evaluate the weights as they are."""
    recorder = experiment.recorder
    if experiment.num_epochs == 0:
        if experiment.is_taken_up:
            return
        recorder.epoch(experiment.evaluate(experiment.splits.val), is_best=False)
        recorder.keeper.end_epoch()
        return
    with recorder.stop.deferred(), profiled(experiment):
        experiment.train()
    if recorder.stopped_early:
        patience = experiment.args.early_stopping_patience
        recorder.terminal.line(f"stopped early: no improvement for {patience} epoch{'s' * (patience != 1)}")
    elif experiment.epoch < experiment.num_epochs:
        recorder.terminal.line(
            f"stopped in epoch {experiment.epoch} of {experiment.num_epochs}; the weights kept are those of epoch "
            f"{recorder.weights_epoch}"
        )


def _take_returned_state(experiment: "BareExperiment[ExperimentArgs]") -> None:
    best = experiment.recorder.best_path = experiment.world.on_main(experiment.recorder.checked_best)
    if best is not None:
        experiment.load_checkpoint(best)
    else:
        experiment.keep_last_state()


def _test(experiment: "BareExperiment[ExperimentArgs]") -> None:
    recorder = experiment.recorder
    results = experiment.test_metrics = experiment.evaluate(experiment.splits.test)
    epoch = recorder.weights_epoch
    step = next((row["step"] for row in recorder.history.rows if row["epoch"] == epoch), experiment.position.step)
    for split, metrics in results.items():
        recorder.history.append(epoch, step, split, metrics)
    if results:
        recorder.trackers.log_epoch(epoch, step, flat(results))
    experiment.on_test_end()


def _draw(experiment: "BareExperiment[ExperimentArgs]") -> None:
    recorder = experiment.recorder
    if recorder.history.rows and experiment.options.stage == "train":
        recorder.draw("history.png", recorder.draw_history)
    if experiment.options.stage == "predict":  # the one thing that was asked for: an error is an error
        predictions = predict_wanted(experiment)
        experiment.prediction_files = write_predictions(experiment, predictions)
    else:
        predictions = recorder.draw("predicting", lambda: predict_wanted(experiment)) or {}
        written = recorder.draw("predictions/", lambda: write_predictions(experiment, predictions))
        experiment.prediction_files = written or {}
    drawn = recorder.draw("the pictures", lambda: experiment.plot(recorder.directory, predictions)) or []
    if experiment.options.batch_histograms:
        drawn += recorder.draw("the histograms", experiment.plot_batches) or []
    experiment.plots += [path for path in [recorder.directory.plot_path, *drawn] if path.is_file()]


def predict_wanted(experiment: "BareExperiment[ExperimentArgs]") -> dict[str, Predictions]:
    """Predictions of the test sets, else the validation sets; of all, or of the training sets too, where asked for."""
    splits, options = experiment.splits, experiment.options
    names = [*(splits.test or splits.val)]
    if options.predictions == "all":
        names = [*splits.train, *splits.val, *splits.test]
    elif options.predict_on_train:
        names += splits.train
    found = {name: experiment.predict(name) for name in names if options.predictions != "none"}
    return {name: predictions for name, predictions in found.items() if predictions is not None}
