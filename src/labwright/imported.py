"""`import_run`: a run's experiment with its weights, made by the code that the run had."""

import contextlib
import os
import sys
import warnings
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from labwright.args.errors import UserError
from labwright.args.experiment import ExperimentArgs
from labwright.args.machine import MachineConfig, config_path
from labwright.args.options import RunOptions
from labwright.args.read import File, read
from labwright.args.registry import resolve
from labwright.project import read_machine, registry_of_project

if TYPE_CHECKING:
    from labwright.experiment import Experiment
    from labwright.runs import RunDirectory
    from labwright.runs.code.snapshot import Snapshot
    from labwright.session.recorder import Recorder

T = TypeVar("T")


def import_run(
    run: str | os.PathLike[str], results_dir: Path | None = None, *, machine: str | type[MachineConfig] = MachineConfig
) -> "Experiment[Any]":
    """The experiment of a run, built from the code and arguments that the run had, with the weights it returned.

        experiment = import_run("last")
        logits = experiment.model(images)
        metrics = experiment.evaluate(["test"])

    `run` is a path, an id, a unique part of one, `last` or `best:val/accuracy`. Where data and, unless given, results
    lie is what config.yaml and the environment say; a lab with its own class for that names it, `machine="module:NAME"`
    in the code of the run, and gives `results_dir`. Data and random generators are as at the run's start.

    Use a fresh process: code of the same name that was imported before would be the wrong one. For a run whose code was
    not kept, the present code is used, and a warning says so. Where the run used no PyTorch this is a `BareExperiment`.

    Raises:
        UserError: the run, its code or its weights cannot be found, or other code of that name is in use.
    """
    from labwright.runs.listing.find import find_run

    if results_dir is None:
        present = MachineConfig if isinstance(machine, str) else machine
        results_dir = read_machine(present, config_path()).results_dir
    found = find_run(os.fspath(run), results_dir)
    args_model = _args_model(found)
    reading = read({"experiment": args_model}, [], files=[File(found.args_path)])
    args = cast(ExperimentArgs, reading.models["experiment"])
    return _with_weights(found, args, _machine(found, machine))


def _args_model(run: "RunDirectory") -> type[ExperimentArgs]:
    """The class of the run's arguments, of the code that it had."""
    from labwright.runs.code.snapshot import Snapshot

    snapshot = Snapshot.of(run.record())
    if snapshot is None:
        warnings.warn(f"{run.path.name}: its code was not kept; the present code is used", stacklevel=3)
        registry = registry_of_project()
    else:
        folder = _restored(snapshot)
        _refuse_other_code(folder)
        _compare_library(run, folder)
        with contextlib.chdir(folder):
            registry = registry_of_project()
    return resolve(registry, str(run.args().get("experiment_id")))


def _restored(snapshot: "Snapshot") -> Path:
    """The folder of the run's code in the user's cache; runs with equal code share it."""
    from labwright.runs.code.restore import export_snapshot, repository_of

    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    target = cache / "labwright" / "code" / snapshot.tree
    return export_snapshot(repository_of(snapshot, Path.cwd()), snapshot.commit, target) / snapshot.folder


def _refuse_other_code(folder: Path) -> None:
    """What is imported under a name stays under it: code of the lab from elsewhere would be used instead."""
    code = folder / "src" if (folder / "src").is_dir() else folder
    names = {path.name.removesuffix(".py") for path in code.iterdir()} - {"labwright"}
    for name, module in list(sys.modules.items()):
        origin = getattr(module, "__file__", None)
        if name.partition(".")[0] in names and origin and not Path(origin).resolve().is_relative_to(folder.resolve()):
            raise UserError(f"{name} is already imported, from {origin}; use import_run in a fresh Python process")


def _compare_library(run: "RunDirectory", folder: Path) -> None:
    """Warn where labwright, which is imported already, is not that of the run."""
    used = Path(__file__).parent
    own = folder / "src" / "labwright"
    if own.is_dir():
        differs = _sources(own) != _sources(used)
    else:
        then = (run.record().get("versions") or {}).get("labwright")
        differs = then not in (None, metadata.version("labwright"))
    if differs:
        warnings.warn(f"{run.path.name}: its labwright is not this one, of {used}", stacklevel=4)


def _sources(package: Path) -> dict[Path, bytes]:
    return {path.relative_to(package): path.read_bytes() for path in package.rglob("*.py")}


def _machine(run: "RunDirectory", model: str | type[MachineConfig]) -> MachineConfig:
    """This machine's configuration; where it has no data, that of the run may be there still."""
    from importlib import import_module

    if isinstance(model, str):
        module, _, name = model.partition(":")
        model = cast(type[MachineConfig], getattr(import_module(module), name))
    machine = read_machine(model, config_path())
    recorded = Path((run.record().get("machine") or {}).get("cache_dir") or machine.cache_dir)
    is_elsewhere = not machine.cache_dir.is_dir() and recorded.is_dir()
    return machine.model_copy(update={"cache_dir": recorded}) if is_elsewhere else machine


def _with_weights(run: "RunDirectory", args: ExperimentArgs, machine: MachineConfig) -> "Experiment[Any]":
    from labwright.runs import resolve_checkpoint
    from labwright.session.prepare import prepare

    weights = resolve_checkpoint(run.path)
    experiment = args.build(machine)
    if "from_checkpoint" in experiment.uses:
        experiment.args = args.model_copy(update={"from_checkpoint": str(weights)})
        prepare(experiment, RunOptions(mode="predict"))
        experiment.args = args
        experiment.model.eval()
    else:
        prepare(experiment, RunOptions())
        experiment.load_checkpoint(weights)
    experiment.threshold = (run.record().get("result") or {}).get("threshold")
    experiment.recorder = cast("Recorder", _Onlooker(run))
    return experiment


class _Onlooker:
    """In the place of a run's recorder: what passes over the data is neither shown nor written."""

    def __init__(self, run: "RunDirectory") -> None:
        from labwright.session.signals import StopRequest

        self.directory = run
        self.stop = StopRequest()

    def watch(self, batches: Iterable[T], num_batches: int | None, split: str) -> Iterable[T]:
        """The batches, as they are."""
        return batches
