"""argv -> command or experiment -> run. Everything `run.py` and `labwright` do at a terminal."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn, cast

from labwright.args.errors import UserError
from labwright.args.experiment import ExperimentArgs
from labwright.args.machine import MachineConfig, anchored, config_path, write_first_config
from labwright.args.options import RunOptions
from labwright.args.read import File, Reading, fail, flag_values, read
from labwright.args.registry import Registry, as_registry, describe, resolve

if TYPE_CHECKING:
    from labwright.runs.terminal import Terminal
    from labwright.session import Launch, RunResult

ENV_PREFIX = "LABWRIGHT_"
COMMANDS = {
    "completion": "print a completion script: completion bash|zsh [--experiment_id=ID]",
    "new": "write a lab of your own: new DIR",
}


class Terminated(BaseException):
    """A signal to end arrived: SIGTERM, or SIGHUP when the terminal goes away."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


def main(
    experiments: Registry | type[ExperimentArgs] | None = None,
    *,
    machine: type[MachineConfig] = MachineConfig,
    argv: Sequence[str] | None = None,
) -> NoReturn:
    """Do what the command line says and exit: 0 done, 2 bad input, 1 a later failure, 130 or 143 when interrupted.

    `experiments` is a registry or a single Args class; None takes the registry that the nearest pyproject.toml names
    under `[tool.labwright]`. `machine` may be a subclass of MachineConfig with the lab's own fields.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    prog = Path(sys.argv[0]).name
    prog = "labwright" if prog == "__main__.py" else prog
    try:
        _dispatch(experiments, machine, words, prog)
    except UserError as error:
        fail(prog, error)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except Terminated as ended:
        raise SystemExit(ended.exit_code) from None
    except BrokenPipeError:  # the reader of our output has seen enough: `run.py | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    raise SystemExit(0)


def _dispatch(
    experiments: Registry | type[ExperimentArgs] | None, machine: type[MachineConfig], words: list[str], prog: str
) -> None:
    if words and words[0] == "new":
        return _new(words[1:], prog)
    registry = as_registry(experiments) if experiments is not None else _registry_of_project()
    if words and words[0] == "completion":
        return _completion(registry, machine, words[1:], prog)
    if words and not words[0].startswith("-"):
        raise UserError(f"unknown command {words[0]!r}; known: {', '.join(COMMANDS)}; or give --experiment_id=ID")
    named = _named_id(words)
    # where there is only one experiment flags mean it, and for one that runs by itself an empty line does too
    is_meant = named is None and len(registry) == 1 and (words or isinstance(experiments, type))
    experiment_id = next(iter(registry)) if is_meant else named
    if experiment_id is not None:
        return _experiment(registry, experiment_id, machine, words, prog, is_named=named is not None)
    if not words or "-h" in words or "--help" in words:
        return _overview(registry, prog)
    raise UserError(f"--experiment_id is required; known: {', '.join(registry)}")


def _registry_of_project() -> Registry:
    """The registry that `[tool.labwright] registry = "module:NAME"` in the nearest pyproject.toml names."""
    import tomllib
    from importlib import import_module

    path = config_path().with_name("pyproject.toml")
    if not path.is_file():
        raise UserError("no pyproject.toml here or above; run this inside a lab, or make one with: labwright new DIR")
    try:
        tools: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {})
    except ValueError as error:
        raise UserError(f"{path}: is not valid TOML ({error})") from None
    entry = tools.get("labwright", {}).get("registry", "")
    module, _, name = str(entry).partition(":")
    if not name:
        raise UserError(f'{path}: needs [tool.labwright] registry = "package.module:NAME"')
    sys.path[:0] = [str(path.parent / "src"), str(path.parent)]
    try:
        return as_registry(getattr(import_module(module), name))
    except (ModuleNotFoundError, AttributeError) as error:
        raise UserError(f"{path}: registry {entry!r} cannot be found ({error})") from None


def _named_id(words: list[str]) -> str | None:
    """The experiment that a flag, else the environment, else a --config file names."""
    from labwright.args.files import load_file

    given = flag_values(words, "experiment_id")
    if given:
        return given[-1]
    variable = os.environ.get(f"{ENV_PREFIX}EXPERIMENT_ID")
    if variable:
        return variable
    for name in reversed(flag_values(words, "config")):
        found = load_file(Path(name)).get("experiment_id")
        if isinstance(found, str):
            return found
    return None


def _overview(registry: Registry, prog: str) -> None:
    width = max(map(len, [*registry, *COMMANDS]), default=0)
    print(f"usage: {prog} --experiment_id=ID [--flag=value ...]\n\nexperiments:")
    for experiment_id, description in describe(registry):
        print(f"  {experiment_id:<{width}}  {description}")
    print("\ncommands:")
    for command, description in COMMANDS.items():
        print(f"  {command:<{width}}  {description}")
    print(f"\nThe flags of an experiment: {prog} --experiment_id=ID --help")


def _completion(registry: Registry, machine: type[MachineConfig], words: list[str], prog: str) -> None:
    from labwright.args.shell import add_ids, completion_parser, script

    shells = [word for word in words if not word.startswith("-")]
    if not shells or shells[0] not in ("bash", "zsh"):
        raise UserError(f"completion: name a shell, bash or zsh: {prog} completion bash [--experiment_id=ID]")
    given = flag_values(words, "experiment_id")
    model = resolve(registry, given[-1]) if given else ExperimentArgs
    schemas = {"experiment": model, "machine": machine, "this run": RunOptions}
    parser = completion_parser(schemas, prog=prog)
    add_ids(parser, list(COMMANDS), list(registry))
    print(script(parser, shells[0]))


def _new(words: list[str], prog: str) -> None:
    from labwright.new import write_lab

    folders = [word for word in words if not word.startswith("-")]
    if len(folders) != 1 or len(words) != 1:
        raise UserError(f"new: name the folder to write: {prog} new DIR")
    print(write_lab(Path(folders[0])))


def _experiment(
    registry: Registry,
    experiment_id: str,
    machine_model: type[MachineConfig],
    words: list[str],
    prog: str,
    *,
    is_named: bool,
) -> None:
    model = resolve(registry, experiment_id)
    config_file = config_path()
    files = [File(config_file, schema="machine")] if config_file.is_file() else []
    reading = read(
        {"experiment": model, "machine": machine_model, "this run": RunOptions},
        words if is_named else [*words, f"--experiment_id={experiment_id}"],
        prog=prog,
        env_prefix=ENV_PREFIX,
        files=files,
        usage=f"{prog} --experiment_id={experiment_id} [--flag=value ...]",
    )
    for note in reading.notes:
        print(f"{prog}: note: {note}", file=sys.stderr)
    if reading.print_config:
        from labwright.args.show import config_yaml

        print(config_yaml(reading), end="")
        return
    line = write_first_config(config_file, machine_model)
    if line is not None:
        print(f"{prog}: {line}", file=sys.stderr)
    _run(reading, config_file, words, prog)


def _run(reading: Reading, config_file: Path, words: list[str], prog: str) -> None:
    from labwright.runs.terminal import Terminal

    args = cast(Any, reading.models["experiment"])
    options = cast(RunOptions, reading.models["this run"])
    machine = _anchor(cast(MachineConfig, reading.models["machine"]), reading, config_file.parent)
    experiment = args.build(machine)
    terminal = Terminal(sys.stderr, quiet=options.quiet)
    launch = _launch(reading, config_file, words, prog)
    with _signals_raise():
        result = _finish(lambda: experiment.run(options, terminal=terminal, launch=launch), terminal)
    _show(result, options)


def _finish(run: "Callable[[], RunResult]", terminal: "Terminal") -> "RunResult":
    """The result of `run`; exit 1 without a traceback where the run has said in one line why it failed."""
    from labwright.train import NonFiniteLoss

    try:
        return run()
    except (UserError, NonFiniteLoss):
        if not terminal.has_log:
            raise
        raise SystemExit(1) from None


def _show(result: "RunResult", options: RunOptions) -> None:
    from labwright.runs.durable import strict_json

    if options.as_json:
        print(strict_json(result.to_json()).decode())
    elif not options.quiet:
        print(result.summary())


@contextlib.contextmanager
def _signals_raise() -> Iterator[None]:
    """Within this context the signals to end raise `Terminated`, so that what there is of a run is kept."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    wanted = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    # one that is ignored stays so: that is how nohup keeps a run alive
    before = {number: signal.getsignal(number) for number in wanted if signal.getsignal(number) != signal.SIG_IGN}
    for number in before:
        signal.signal(number, _terminate)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated(number)


def _anchor(machine: MachineConfig, reading: Reading, folder: Path) -> MachineConfig:
    """Relative paths mean the folder of config.yaml, or where the command was typed if they were typed."""
    draft = reading.drafts["machine"]
    typed = [name for name in type(machine).model_fields if draft.source_of(name).kind in ("flag", "environment")]
    machine = anchored(machine, Path.cwd(), names=typed)
    return anchored(machine, folder)


def _launch(reading: Reading, config_file: Path, words: list[str], prog: str) -> "Launch":
    """What command.sh needs besides args.yaml: what was said of the machine and of this run, wherever it was said."""
    from labwright.runs import redact_argv
    from labwright.session import Launch, flags_of

    flags: list[str] = []
    for schema in ("machine", "this run"):
        draft = reading.drafts[schema]
        sources = {name: draft.source_of(name) for name in draft.nodes if name != "config"}
        said = [name for name, source in sources.items() if source.kind != "default"]
        flags += flags_of(reading.models[schema], [name for name in said if sources[name].label != str(config_file)])
    nodes = [node for draft in reading.drafts.values() for node in draft.walk() if node.secret]
    secret = {name for node in nodes for name in (node.path, node.name, *node.aliases)}
    return Launch(_program(), Path.cwd(), tuple(flags), (prog, *redact_argv(words, flags=secret)))


def _program() -> tuple[str, ...]:
    """The words that start this program again: a script by its path, a module by its name."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if spec is not None:
        return sys.executable, "-m", spec.name.removesuffix(".__main__")
    script = Path(sys.argv[0])
    return (sys.executable, str(script.resolve())) if script.suffix == ".py" else (sys.executable, "-m", "labwright")
