"""One run in time order: prepare, open the run directory, train, test, draw, finish."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from labwright.args import ExperimentArgs, RunOptions
from labwright.runs import copied_to
from labwright.runs.plots import plot_batch_histograms
from labwright.runs.terminal import Terminal
from labwright.train import (
    BestTracker,
    EarlyStopping,
    Loader,
    TrainLoop,
    evaluate,
    load_into,
    load_weights,
)

from .launch import Launch
from .predictions import Predictions, predict, write_predictions
from .prepare import Prepared, prepare
from .recorder import Recorder
from .result import RunResult, flat

if TYPE_CHECKING:
    from labwright.experiment import Experiment


def run_session(
    experiment: "Experiment[ExperimentArgs]",
    options: RunOptions,
    terminal: Terminal | None = None,
    launch: Launch | None = None,
) -> RunResult:
    """Run `experiment` and leave its run directory; see `Experiment.run`."""
    terminal = terminal or Terminal()
    started = time.perf_counter()
    prepared = prepare(experiment, options)
    trackers = experiment.build_trackers(options, terminal.warn)
    for warning in prepared.warnings:
        terminal.warn(warning)
    recorder = Recorder(experiment, options, terminal, trackers)
    with copied_to(recorder.log):
        try:
            recorder.start(launch or Launch())
            result = _Session(experiment, options, prepared, recorder, started).run()
        except BaseException as error:
            recorder.fail(error)
            raise
        recorder.finish(result)
    experiment.on_experiment_end(result)
    return result


@dataclass
class _Session:
    """What happens between the opening of the run directory and its end."""

    experiment: "Experiment[ExperimentArgs]"
    options: RunOptions
    prepared: Prepared
    recorder: Recorder
    started: float

    def run(self) -> RunResult:
        experiment, recorder = self.experiment, self.recorder
        experiment.on_experiment_start(recorder.directory)
        loop = self._loop()
        self._train(loop)
        self._take_best_weights(loop)
        val = self._val_results(loop)
        test = self._test(loop)
        experiment.store_model(recorder.directory.model_path)
        plots = self._draw()
        best_metric = None if experiment.best_metric is None else experiment.best_metric[0]
        position = loop.position
        return RunResult(
            experiment_id=experiment.args.experiment_id,
            run_dir=recorder.directory.path,
            dataset=experiment.splits.name,
            epochs=position.epoch,
            steps=position.step,
            best_epoch=loop.best.epoch,
            best_metric=best_metric,
            best_value=loop.best.value,
            weights_epoch=self._weights_epoch(loop),
            val=flat(val, "val"),
            test=flat(test, "test"),
            seconds=round(time.perf_counter() - self.started, 3),
            samples_per_second=position.num_samples / position.train_seconds if position.train_seconds else None,
            stopped_early=loop.stopped_early,
            checkpoints=self._checkpoints(),
            plots=plots,
            warnings=self.prepared.warnings,
        )

    def _loop(self) -> TrainLoop:
        args, best = self.experiment.args, self.experiment.best_metric
        minimize = best is None or best[1]
        patience = args.early_stopping_patience
        stopping = (
            None if patience is None else EarlyStopping(patience, minimize=minimize, delta=args.early_stopping_delta)
        )
        return TrainLoop(
            self.experiment,
            self.prepared.train,
            self.prepared.val,
            self.recorder,
            BestTracker(minimize=minimize),
            None if best is None else best[0],
            stopping,
            self.options.log_every_n_steps,
        )

    def _train(self, loop: TrainLoop) -> None:
        """Train, or where there are no epochs evaluate the weights as they are."""
        if self.options.only_test:
            return
        if self.experiment.args.epochs == 0:
            results = loop.evaluate(self.prepared.val)
            self.recorder.epoch(loop.position, results, loop.state_dict, improved=False)
            return
        import torch

        with torch.autograd.set_detect_anomaly(self.options.detect_anomaly):
            loop.run()
        if loop.stopped_early:
            self.recorder.terminal.line(
                f"stopped early: no improvement for {self.experiment.args.early_stopping_patience} epochs"
            )

    def _weights_epoch(self, loop: TrainLoop) -> int:
        """The epoch whose weights are tested and stored."""
        best = loop.best.epoch if self.experiment.args.return_best_model else None
        return loop.position.epoch if best is None else best

    def _take_best_weights(self, loop: TrainLoop) -> None:
        best = self.recorder.checkpoints.path_of("best")
        if best is not None and self._weights_epoch(loop) != loop.position.epoch:
            load_into(self.experiment.model, load_weights(best), str(best))

    def _val_results(self, loop: TrainLoop) -> dict[str, dict[str, float]]:
        """The validation metrics of the epoch whose weights are returned, from the history."""
        epoch = self._weights_epoch(loop)
        rows = [row for row in self.recorder.history.rows if row["epoch"] == epoch]
        return {row["split"]: row["metrics"] for row in rows if row["split"] in self.prepared.val}

    def _test(self, loop: TrainLoop) -> dict[str, dict[str, float]]:
        epoch = self._weights_epoch(loop)
        results = loop.evaluate(self.prepared.test)
        rows = self.recorder.history.rows
        step = next((row["step"] for row in rows if row["epoch"] == epoch), loop.position.step)
        for split, metrics in results.items():
            self.recorder.history.append(epoch, step, split, metrics)
        if results:
            self.recorder.trackers.log_epoch(epoch, step, flat(results))
        self.experiment.on_test_end(results)
        return results

    def _draw(self) -> list[Path]:
        recorder, experiment = self.recorder, self.experiment
        recorder.draw("history.png", recorder.draw_history)
        predictions = recorder.draw("predicting", self._predict) or {}
        names = experiment.splits.class_names
        recorder.draw("predictions/", lambda: write_predictions(recorder.directory, predictions, names))
        drawn = recorder.draw("predictions.png", lambda: experiment.plot(recorder.directory, predictions)) or []
        if self.options.batch_histograms:
            drawn += recorder.draw("the histograms", self._draw_histograms) or []
        return [path for path in [recorder.directory.plot_path, *drawn] if path.is_file()]

    def _predict(self) -> dict[str, Predictions]:
        """Predictions of the test sets, else the validation sets; of the training sets where asked for."""
        splits, prepared = self.experiment.splits, self.prepared
        chosen = {**splits.test} if prepared.test else {**splits.val}
        loaders: dict[str, Loader] = {**(prepared.test or prepared.val)}
        if self.options.predict_on_train:
            chosen |= splits.train
            for name, dataset in splits.train.items():
                loaders[name] = self.experiment.build_loader(dataset, name, training=False)
        return {name: predict(self.experiment, dataset, loaders[name]) for name, dataset in chosen.items()}

    def _draw_histograms(self) -> list[Path]:
        """histogram_<metric>.png: each metric over the batches of every split, with the weights the run returns."""
        experiment = self.experiment
        values: dict[str, dict[str, list[float]]] = {}
        sets = {**experiment.splits.train, **experiment.splits.val, **experiment.splits.test}
        for split, dataset in sets.items():
            for batch in experiment.build_loader(dataset, split, training=False):
                for metric, value in evaluate(experiment, [batch]).items():
                    values.setdefault(metric, {}).setdefault(split, []).append(value)
        drawn: list[Path] = []
        for metric, by_split in values.items():
            path = self.recorder.directory.path / f"histogram_{metric}.png"
            plot_batch_histograms(by_split, metric, path, f"{experiment.args.experiment_id}: {experiment.splits.name}")
            drawn.append(path)
        return drawn

    def _checkpoints(self) -> dict[str, Path]:
        store = self.recorder.checkpoints
        found = {"last": store.path_of("last"), "best": store.path_of("best")}
        return {role: path for role, path in found.items() if path is not None}
