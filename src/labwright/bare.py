"""`BareExperiment`: what every experiment has, whatever it computes with. No torch here, and none behind it.

    build_datasets -> build_parts -> build_trackers, build_hooks       once, before anything runs
    run_experiment                                                     train -> test -> keep -> predict -> draw
        run_epoch                                                      each dataset, then best epoch, record, early stop
            run_dataset -> run_batch                                   yours
    on_*                                                               as `labwright.loop.Hook` draws them

A run of it leaves the same run directory, history and plots as any other. `Experiment` is the one for PyTorch.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, cast

from labwright.args import ExperimentArgs, MachineConfig, RunOptions, UserError
from labwright.args.options import DEBUG_BATCHES
from labwright.loop import Hook, NestedLoop
from labwright.loop.nested import NOT_STOPPED
from labwright.train.distributed.world import ALONE

if TYPE_CHECKING:
    from labwright.datasets import Dataset, Splits
    from labwright.runs import RunDirectory
    from labwright.runs.terminal import Terminal
    from labwright.session import Launch, Predictions, Preflight, Recorder, RunResult
    from labwright.session.startup import Startup
    from labwright.trackers import Tracker
    from labwright.train import BestTracker, EarlyStopping, Position
    from labwright.train.distributed.world import World

ArgsT = TypeVar("ArgsT", bound=ExperimentArgs)


class BareExperiment(NestedLoop, Generic[ArgsT]):
    """An experiment described by its args. Making one touches no disk; `run()` acts."""

    uses: ClassVar[frozenset[str]] = frozenset()
    """The fields of ExperimentArgs and RunOptions that it honours beyond those that all do: the others are refused."""

    splits: "Splits"
    loaders: dict[str, Any]
    """What is passed over, by the dataset's name."""
    position: "Position"
    progress: dict[str, Any] | None = None
    """How far the epoch in hand has come, for a checkpoint within it; None at an epoch's end."""
    interrupted: dict[str, Any] | None = None
    """The progress of the checkpoint that the run was taken up from, until it has been gone on from."""
    is_taken_up: bool = False
    """Whether the state comes from a checkpoint of this run: `from_checkpoint` was where it began."""
    is_over: bool = False
    """Whether the training was told to stop, by patience or by `stop`, when its last epoch was kept."""
    is_aside: bool = False
    """Whether a pass in hand is none of an epoch's, but one of `evaluate`."""
    _taken_up: tuple[dict[str, Any], dict[str, int]] | None = None
    _num_batches: int = 0
    best: "BestTracker"
    best_metric: tuple[str, bool] | None
    """Full name of the metric that decides which epoch is best, and whether lower is better; None: nothing decides."""
    early_stopping: "EarlyStopping | None"
    recorder: "Recorder"
    test_metrics: dict[str, dict[str, float]]
    plots: list[Path]
    prediction_files: dict[str, Path]
    warnings: list[str]
    chosen: dict[str, Any]
    """What was decided about how to compute, by the name of the setting: it goes to run.json."""
    startup: "Startup | None" = None
    """Measures the time to the first step, where that was asked for."""
    agreement: Any = None
    """What several ranks agree on where they meet."""
    world: "World" = ALONE
    """The ranks that train together."""
    key_of_restarts: str = ""
    """Under which torchrun's agent keeps the run directory, for the processes of a restart."""
    threshold: float | None = None
    """Of a binary classifier: chosen on validation where the args ask for that."""

    def __init__(self, args: ArgsT, machine: MachineConfig | None = None) -> None:
        from labwright.runs import Artifacts

        self.args = args
        self.machine = machine or MachineConfig()
        self.options = RunOptions()
        self.artifacts = Artifacts()

    def run(
        self,
        options: RunOptions | None = None,
        *,
        terminal: "Terminal | None" = None,
        launch: "Launch | None" = None,
    ) -> "RunResult":
        """Do what `options.mode` says (train, test or predict), and leave a run directory.

        Shows nothing unless given a `terminal`; `launch` says how the run was started, for its command.sh.

        Raises:
            UserError: the args, the data or the machine do not allow this run; nothing was written.
        """
        from labwright.session import run_session

        return run_session(cast("BareExperiment[ExperimentArgs]", self), options or RunOptions(), terminal, launch)

    def preflight(self, options: RunOptions | None = None) -> "Preflight":
        """Whether a run with these options would end well, and what it would take; every part of it is tried once.

        Nothing is left behind.

        Raises:
            UserError: what `run` would refuse before it begins.
        """
        from labwright.session import run_preflight

        return run_preflight(cast("BareExperiment[ExperimentArgs]", self), options or RunOptions())

    @property
    def result(self) -> "RunResult":
        """What the run has come to so far."""
        if not hasattr(self, "recorder"):
            raise UserError(f"{self.args.experiment_id} has no result: it was not run, or its last run was refused")
        from labwright.session import build_result

        return build_result(cast("BareExperiment[ExperimentArgs]", self))

    @property
    def run_directory(self) -> "RunDirectory":
        return self.recorder.directory

    @property
    def is_training(self) -> bool:
        """Whether the dataset in hand is trained on."""
        return self.dataset_name in self.splits.train

    def changed_args(self) -> list[str]:
        """The args that do not have their default."""
        from labwright.session import changed_fields

        return changed_fields(self.args)

    # -- parts

    def build_datasets(self) -> "Splits":
        """The named training, validation and test sets."""
        raise NotImplementedError(f"{type(self).__name__} needs a build_datasets() that returns Splits")

    def build_parts(self) -> None:
        """Make whatever else must be there before the first step: `self.splits` is, `self.loaders` are made here."""
        self.take_inputs()
        self.build_loaders()

    def take_inputs(self) -> None:
        """Put the samples of `--predict_input` in the place of the test sets."""
        if self.options.predict_input is not None:
            inputs = self.build_inputs(self.options.predict_input)
            self.splits = replace(self.splits, test={"inputs": inputs})
            self.warnings += getattr(inputs, "warnings", ())

    def build_loaders(self) -> None:
        """Fill `self.loaders` with what `build_loader` makes of each dataset."""
        splits = self.splits
        self.loaders = {
            name: self.build_loader(dataset, name, training=name in splits.train)
            for sets in (splits.train, splits.val, splits.test)
            for name, dataset in sets.items()
        }

    def build_loader(self, dataset: "Dataset", name: str, *, training: bool) -> Any:
        """What the loop iterates for a dataset; by default the dataset itself."""
        return dataset

    def build_hooks(self) -> Sequence[Hook[Any]]:
        """Reusable extras that hear of every event."""
        return []

    def build_trackers(self, options: RunOptions, warn: "Callable[[str], None]") -> "list[Tracker]":
        """Who hears of the run besides its directory; `warn` shows a line. A missing package is a UserError here."""
        trackers: list[Tracker] = []
        if options.use_wandb:
            from labwright.trackers import WandbTracker

            key = self.machine.wandb_api_key
            wandb = WandbTracker(
                project=self.machine.wandb_project or self.args.experiment_id,
                entity=self.machine.wandb_entity,
                api_key=key.get_secret_value() if key else None,
                warn=warn,
            )
            trackers.append(wandb)
        if options.use_tensorboard:
            from labwright.trackers import TensorBoardTracker

            trackers.append(TensorBoardTracker())
        return trackers

    def metric_directions(self) -> dict[str, bool]:
        """The metrics of a pass, and whether higher is better."""
        return {"loss": False}

    # -- the rungs of the loop

    def datasets(self) -> Mapping[str, Any]:
        """The training sets, then the validation sets."""
        return {name: self.loaders[name] for name in (*self.splits.train, *self.splits.val)}

    def batches(self, dataset: Any) -> Iterable[Any]:
        """The batches of a dataset, their progress shown."""
        limited = islice(dataset, DEBUG_BATCHES - self._num_batches) if self.options.debug else dataset
        num_batches = len(dataset) if hasattr(dataset, "__len__") else None
        if num_batches is not None and self.options.debug:
            num_batches = min(num_batches, DEBUG_BATCHES)
        return self.recorder.watch(limited, num_batches, self.dataset_name)

    def between_batches(self) -> None:
        """End here if a signal asked for it: at the latest checkpoint the run can be taken up again."""
        if not self.is_aside:
            self.recorder.stop.raise_if_asked()

    def between_epochs(self) -> None:
        """Keep the state that the epoch left, and end here if a signal asked for it."""
        if self.agreement is not None:
            self.agreement.meet()
        self.recorder.keeper.end_epoch()
        self.recorder.stop.raise_if_asked()

    def run_experiment(self) -> None:
        """Train, return to the best epoch, test, keep the model, predict and draw, as far as the mode asks for it."""
        from labwright.session import run_stages

        run_stages(cast("BareExperiment[ExperimentArgs]", self))

    def train(self) -> None:
        """All epochs, or those up to an early stop; of a run that is taken up, those that are left."""
        self.experiment_metrics |= self.recorder.metrics_by_epoch()
        if self.is_over or (self.early_stopping is not None and self.early_stopping.should_stop):
            return
        super().run_experiment()

    def run_epoch(self) -> None:
        """A pass over every dataset, then what follows from the metrics, in an order that matters.

        The checkpoint comes last, in `between_epochs`: it holds what was done at the epoch's end.
        """
        self.position.epoch = self.epoch
        super().run_epoch()
        self.epoch_metrics = self.world.same(self.epoch_metrics)
        value = None if self.is_stopped("epoch") else self.deciding_value(self.epoch_metrics)
        self.step_schedulers(value)
        is_best = value is not None and self.best.update(value, self.epoch)
        stops = value is not None and self.early_stopping is not None and self.early_stopping.update(value)
        self.recorder.epoch(self.epoch_metrics, is_best=is_best)
        if stops:
            self.stop("experiment")

    def pass_over(self, name: str, dataset: Any) -> dict[str, Any]:
        """One dataset from its start to its end; those of its metrics that are numbers.

        Random numbers drawn within follow from seed, epoch and name: no pass depends on what another one drew.
        """
        from labwright.train.seeds import derive_seed

        of_rank = ("rank", self.world.rank) if self.world.rank else ()
        self.seed_everything(derive_seed(self.args.seed, "pass", self.epoch, name, *of_rank))
        metrics = super().pass_over(name, dataset)
        return {key: float(value) for key, value in metrics.items() if getattr(value, "ndim", 0) == 0}

    def evaluate(self, names: Iterable[str]) -> dict[str, dict[str, float]]:
        """The metrics of these datasets, with everything as it is now; a stop ends it after the dataset in hand."""
        results: dict[str, dict[str, float]] = {}
        self.is_aside = True
        try:
            for name in names:
                results[name] = self.pass_over(name, self.loaders[name])
                if self.is_stopped("epoch"):
                    break
        finally:
            self.is_aside = False
        self._stopped_at = NOT_STOPPED
        return results

    def deciding_value(self, results: Mapping[str, Mapping[str, float]]) -> float | None:
        """The value of the best-model metric among the results; None where it is not."""
        from labwright.session import deciding_value

        return None if self.best_metric is None else deciding_value(self.best_metric[0], results, self.splits)

    def choose_threshold(self) -> None:
        """Set `self.threshold` from the validation sets, before the test."""

    def step_schedulers(self, value: float | None) -> None:
        """What else changes between epochs; `value` is that of the deciding metric."""

    def seed_everything(self, seed: int) -> None:
        """Seed every generator that the experiment may draw from: Python's and NumPy's."""
        import random

        import numpy as np

        random.seed(seed)
        np.random.seed(seed % 2**32)

    # -- state

    def state_dict(self) -> dict[str, Any]:
        """What the best epoch is tested with and a resumed run goes on from: arrays by name, and JSON values.

        Empty: nothing is kept, and a resumed run begins anew.
        """
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Return to a state that `state_dict` gave."""

    def checkpoint(self) -> Any:
        """All that the rest of the run depends on as the content of a file; None: there is no state to keep."""
        from labwright.session import run_state

        state = self.whole_state(self.state_dict())
        if not self.world.is_main:
            return None  # it has given its part
        me = cast("BareExperiment[ExperimentArgs]", self)
        return self.encode_state({**state, "run": run_state(me)}) if state else None

    def whole_state(self, state: dict[str, Any]) -> dict[str, Any]:
        """The state with the parts of all ranks, on rank 0."""
        return state

    def encode_state(self, state: dict[str, Any]) -> Any:
        """The state as the content of a file."""
        from labwright.runs import encode_arrays

        return encode_arrays(state)

    def decode_state(self, path: Path) -> dict[str, Any]:
        """The state that `encode_state` made a file of."""
        from labwright.runs import decode_arrays

        return decode_arrays(path)

    def load_checkpoint(self, path: Path) -> None:
        """Return to the state in a checkpoint of this run, to test and keep it."""
        state = self.decode_state(path)
        state.pop("run", None)
        self.load_state_dict(state)

    def resume_from(self, path: Path) -> dict[str, Any]:
        """Return to a checkpoint of this run, to train on; how many rows each of the run's files had then."""
        from labwright.session import load_run_state

        state = self.decode_state(path)
        run = state.pop("run", None)
        if run is None:
            raise UserError(f"{path} does not say how far its run had come: an older version wrote it; start a new run")
        self.load_state_dict(state)
        num_rows = load_run_state(cast("BareExperiment[ExperimentArgs]", self), run)
        if self.interrupted is not None:
            self._taken_up = state, num_rows["artifacts"]
        return num_rows

    def take_up_again(self) -> None:
        """Return to the checkpoint once more: what `on_epoch_start` and `on_dataset_start` did was done before it."""
        assert self._taken_up is not None
        (state, num_rows), self._taken_up, self.interrupted = self._taken_up, None, None
        self.load_state_dict(state)
        if self.world.is_main:
            self.artifacts.restore(self.run_directory.path, num_rows)

    def keep_last_state(self) -> None:
        """Called instead of `load_checkpoint` where the last epoch's state is what the run returns."""

    def whole_model(self) -> AbstractContextManager[Any]:
        """Within, this rank has the whole model to evaluate with."""
        return nullcontext()

    def store_model(self, path: Path) -> None:
        """Write what the run returns to `path`."""
        state = self.state_dict()
        if state:
            from labwright.runs import write_durably

            write_durably(path, self.encode_state(state))

    def store(self, name: str, value: Any) -> None:
        """Keep a value with the run (JSON, an array, a text): artifacts/<name>; without a run only collect it."""
        self.artifacts.store(name, value)

    def append(self, name: str, value: Any) -> None:
        """Keep one more row with the run: artifacts/<name>.jsonl; without a run only collect it."""
        self.artifacts.append(name, value)

    def computing(self) -> AbstractContextManager[None]:
        """Within, the process computes as the args say; a run is within one, and so is whoever takes steps besides."""
        return nullcontext()

    # -- results

    def build_inputs(self, path: Path) -> "Dataset":
        """The samples in a folder or file, to predict."""
        raise UserError(f"--predict_input: {self.args.experiment_id} cannot predict for files")

    def predict(self, name: str) -> "Predictions | None":
        """What the model says of each sample of a dataset; None: nothing to show."""
        return None

    def plot(self, run: "RunDirectory", predictions: "dict[str, Predictions]") -> list[Path]:
        """Draw pictures (of the predictions: split -> predictions) into the run directory; the files drawn."""
        return []

    def plot_batches(self) -> list[Path]:
        """Draw how the metrics spread over the batches; the files drawn."""
        raise UserError(f"--batch_histograms: {self.args.experiment_id} has no batches to draw")

    def flush(self) -> None:
        """Write what waits in memory to the run's files: a checkpoint counts on them."""

    def close_loaders(self) -> None:
        """End what serves the loaders: processes, open files."""

    def suspects(self, error: BaseException) -> dict[str, Any] | None:
        """What the run should keep of the data that it failed at; None: nothing."""
        return None

    def device_name(self) -> str:
        """What the experiment computes on."""
        return "cpu"

    def memory(self) -> int | None:
        """The most bytes of memory used so far, where that is known."""
        return None

    def on_test_end(self) -> None:
        """`self.test_metrics` has the metrics of each test set, with the weights that the run returns."""
