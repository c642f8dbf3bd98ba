"""How a run is started once more: on as many ranks, and by command.sh, the script that repeats it."""

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

from .redaction import redact_argv, redact_text

_SCRIPT = """\
#!/bin/sh
# Repeats this run; flags given to this script are added. What was typed:
#   {typed}
run_dir=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd -P) || exit 1
cd -- {cwd} || exit 1
for name in $(env | sed -n 's/^\\(LABWRIGHT_[A-Za-z0-9_]*\\)=.*/\\1/p'); do unset "$name"; done
exec {program} --config="$run_dir/args.yaml"{flags} "$@"
"""


def on_ranks(program: Sequence[str], num_ranks: int) -> tuple[str, ...]:
    """The words that start so many ranks of a program on one machine, by torchrun where these are several."""
    if num_ranks == 1:
        return tuple(program)
    interpreter, *words = program
    return (interpreter, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={num_ranks}", *words)


def command_script(
    program: Sequence[str], *, cwd: Path, flags: Sequence[str], typed: Sequence[str], secrets: Iterable[str]
) -> bytes:
    """A shell script that stands beside an args.yaml and runs `program` on it in `cwd`, wherever it is called."""
    known = tuple(secrets)
    script = _SCRIPT.format(
        typed=_one_line(shlex.join(redact_argv(typed, known))),
        cwd=shlex.quote(redact_text(str(cwd), known)),
        program=shlex.join(redact_argv(program, known)),
        flags="".join(f" {shlex.quote(flag)}" for flag in redact_argv(flags, known)),
    )
    return script.encode("utf-8", "surrogateescape")


def _one_line(text: str) -> str:
    """`text` with line breaks and other control characters spelled out, so that none of it leaves the comment."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )
