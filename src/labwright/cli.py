"""argv -> command or experiment -> run. Everything `run.py` and `labwright` do at a terminal."""

import os
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

from labwright.args.errors import Terminated, UserError
from labwright.args.experiment import ExperimentArgs
from labwright.args.machine import MachineConfig, config_path, write_first_config
from labwright.args.options import RunOptions
from labwright.args.read import Reading, fail, flag_values
from labwright.args.registry import Registry, as_registry, describe, resolve
from labwright.args.wording import nearest, quoted
from labwright.commands import COMMANDS as RUN_COMMANDS
from labwright.commands import Project
from labwright.commands import parsers as command_parsers
from labwright.commands import run as run_command
from labwright.project import (
    ENV_PREFIX,
    earlier_run,
    id_in_config,
    launch_of,
    machine_of,
    read_experiment,
    registry_of_project,
)
from labwright.session.leaving import leave_word_to_main
from labwright.session.signals import StopRequest
from labwright.session.startup import BEFORE, IMPORTS, Startup, collector_at_rest, leave_out_imports
from labwright.train.distributed.world import launched_rank

if TYPE_CHECKING:
    from labwright.runs.terminal import Terminal
    from labwright.session import RunResult

COMMANDS = {
    "resume": "continue a run in its directory: resume RUN [--flag=value ...]",
    **RUN_COMMANDS,
    "completion": "print a completion script: completion bash|zsh [--experiment_id=ID]",
    "new": "write a lab of your own: new DIR",
}


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
    if words and words[0].replace("_", "-") in COMMANDS:
        words[0] = words[0].replace("_", "-")
    prog = Path(sys.argv[0]).name
    prog = "labwright" if prog == "__main__.py" else prog
    try:
        rank = launched_rank()
    except UserError as error:
        fail(prog, error)
    if rank:
        sys.stdout = open(os.devnull, "w")  # rank 0 says what there is to say
    try:
        with StopRequest().listening(), collector_at_rest() if argv is None else nullcontext():
            _dispatch(experiments, machine, words, prog)
    except UserError as error:
        if rank:
            leave_word_to_main()
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
    if words == ["--version"]:
        return print(version("labwright"))
    if words and words[0] == "new":
        return _new(words[1:], prog)

    def load_registry() -> Registry:
        return as_registry(experiments) if experiments is not None else registry_of_project()

    if words and words[0] == "resume":
        words = _resume_words(words[1:], prog)
    if words and words[0] in RUN_COMMANDS:
        raise SystemExit(run_command(words[0], words[1:], Project(prog, load_registry, machine)))
    if (
        words in (["-h"], ["--help"])
        and experiments is None
        and not config_path().with_name("pyproject.toml").is_file()
    ):
        return _overview({}, prog)
    if words and not words[0].startswith("-") and words[0] not in COMMANDS:
        raise _unknown_command(words[0], load_registry)
    registry = load_registry()
    if words and words[0] == "completion":
        return _completion(registry, machine, words[1:], prog)
    named = _named_id(words, machine)
    # where there is only one experiment flags mean it, and for one that runs by itself an empty line does too
    is_meant = named is None and len(registry) == 1 and (words or isinstance(experiments, type))
    experiment_id = next(iter(registry)) if is_meant else named
    if experiment_id is not None:
        return _experiment(registry, experiment_id, machine, words, prog, is_named=named is not None)
    if not words or "-h" in words or "--help" in words:
        return _overview(registry, prog)
    raise UserError(f"--experiment_id is required; known: {', '.join(registry)}")


def _unknown_command(word: str, load_registry: Callable[[], Registry]) -> UserError:
    """What to say of a first word that is no command, but nearly one, or the id of an experiment."""
    meant = {command: command for command in COMMANDS}
    with suppress(UserError):  # outside a lab commands are all there is
        meant |= {experiment_id: f"--experiment_id={experiment_id}" for experiment_id in load_registry()}
    guess = nearest(word, list(meant))
    hint = f"did you mean {meant[guess]}? " if guess else ""
    return UserError(f"unknown command {quoted(word)}; {hint}known: {', '.join(COMMANDS)}; or give --experiment_id=ID")


def _resume_words(words: list[str], prog: str) -> list[str]:
    """`resume RUN ...` as the flags it stands for."""
    if not words or words[0].startswith("-"):
        raise UserError(f"resume: name a run, by its id, its path or as last: {prog} resume RUN [--flag=value ...]")
    return [*words[1:], f"--resume={words[0]}"]


def _named_id(words: list[str], machine: type[MachineConfig]) -> str | None:
    """The experiment that a flag, else the run to resume, else the environment, else a --config file names."""
    given = flag_values(words, "experiment_id")
    if given:
        return given[-1]
    earlier = earlier_run(words, machine, config_path())
    if earlier is not None:
        return earlier.args().get("experiment_id")
    variable = os.environ.get(f"{ENV_PREFIX}EXPERIMENT_ID")
    if variable:
        return variable
    return id_in_config(words)


def _overview(registry: Registry, prog: str) -> None:
    width = max(map(len, [*registry, *COMMANDS]), default=0)
    print(f"usage: {prog} --experiment_id=ID [--flag=value ...]\n\nexperiments:")
    if not registry:
        print(f"  none here: this is no lab; make one with: {prog} new DIR")
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
    flags, nothing = completion_parser(schemas, prog=prog), ArgumentParser(add_help=False)
    of_commands = {"completion": nothing, "new": nothing, **command_parsers(prog)}
    parser = ArgumentParser(prog=prog, parents=[flags], add_help=False)
    add_ids(parser, {name: of_commands.get(name, flags) for name in COMMANDS}, list(registry))
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
    config_file = config_path()
    reading = read_experiment(
        registry,
        experiment_id,
        words if is_named else [*words, f"--experiment_id={experiment_id}"],
        machine=machine_model,
        prog=prog,
        config_file=config_file,
    )
    for note in [] if launched_rank() else reading.notes:
        print(f"{prog}: note: {note}", file=sys.stderr)
    if reading.print_config:
        from labwright.args.show import config_yaml

        print(config_yaml(reading), end="")
        return
    line = None if launched_rank() else write_first_config(config_file, machine_model)
    if line is not None:
        print(f"{prog}: {line}", file=sys.stderr)
    _run(reading, config_file, words, prog)


def _run(reading: Reading, config_file: Path, words: list[str], prog: str) -> None:
    from labwright.runs.durable import strict_json
    from labwright.runs.terminal import Terminal

    args = cast(Any, reading.models["experiment"])
    options = cast(RunOptions, reading.models["this run"])
    startup = Startup(of_process=True)
    startup.mark(BEFORE)
    experiment = args.build(machine_of(reading, config_file.parent))
    leave_out_imports()
    startup.mark(IMPORTS)
    if options.preflight:
        report = experiment.preflight(options)
        print(strict_json(report.to_json()).decode() if options.as_json else report.text())
        raise SystemExit(0 if report.ends_well else 1)
    terminal = Terminal(sys.stderr, quiet=options.quiet)
    launch = replace(launch_of(reading, config_file, [prog, *words]), startup=startup)
    result = _finish(lambda: experiment.run(options, terminal=terminal, launch=launch), terminal)
    _show(result, options)


def _finish(run: "Callable[[], RunResult]", terminal: "Terminal") -> "RunResult":
    """The result of `run`; exit 1 without a traceback where the run has said in one line why it failed."""
    from labwright.train import NonFiniteLoss, WorkerDied
    from labwright.train.distributed.world import RankLost
    from labwright.train.system_memory import is_out_of_memory

    try:
        return run()
    except Exception as error:
        is_no_bug = isinstance(error, UserError | NonFiniteLoss | WorkerDied | RankLost) or is_out_of_memory(error)
        if isinstance(error, RankLost) and not terminal.has_told:
            print(f"rank {launched_rank()}: {error}", file=sys.stderr)
        elif not (is_no_bug and terminal.has_told):
            raise
        raise SystemExit(1) from None


def _show(result: "RunResult", options: RunOptions) -> None:
    from labwright.runs.durable import strict_json

    if options.as_json:
        print(strict_json(result.to_json()).decode())
    elif not options.quiet:
        print(result.summary())
