"""Prove that a run resumes exactly: repeat a short form of it, kill and resume it at random steps, compare all bits."""

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from labwright.args.errors import UserError
from labwright.runs.durable import strict_json
from labwright.runs.listing.find import MEANINGS, find_run
from labwright.session.secrets import secrets_of

from .base import Project

EPILOG = "It runs the code that was kept with the run, as you: code that you do not trust is better looked at before."


def add_flags(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.epilog = EPILOG
    parser.add_argument("run", metavar="RUN", help=MEANINGS)
    parser.add_argument("--kills", type=int, default=3, metavar="N", help="how often to kill it (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="chooses the steps (default: %(default)s)")
    parser.add_argument("--keep", action="store_true", help="keep the folder with the runs, and say where it is")
    parser.add_argument("--json", action="store_true", help="print the verdict as JSON")


def run(given: Namespace, project: Project) -> int:
    """Print the verdict; 0: it resumes exactly, 1: it does not. The certificate stands in the run's directory."""
    from labwright.runs.proof.repetition import repeat_run, working_folder
    from labwright.runs.proof.verification import CERTIFICATE, verify_run

    if given.kills < 1:
        raise UserError(f"verify: --kills={given.kills} proves nothing; kill it once or more")
    found = find_run(given.run, project.results_dir)
    with working_folder(keep=given.keep) as folder:
        repetition = repeat_run(found, folder / "code", cache_dir=project.machine.cache_dir, here=Path.cwd())
        alone = f", on one process where it had {repetition.num_ranks} ranks" * (repetition.num_ranks > 1)
        say(f"verifying {found.path.name} with {repetition.code_text}{alone}")
        secrets = secrets_of(project.machine)
        verification = verify_run(repetition, folder, num_kills=given.kills, seed=given.seed, say=say, secrets=secrets)
        if given.keep:
            say(f"kept: {folder}")
    say(f"certificate: {found.path / CERTIFICATE}")
    print(strict_json(verification.to_json(), indent=2).decode() if given.json else "\n".join(verification.lines()))
    return 0 if verification.is_verified else 1


def say(line: str) -> None:
    """Progress, on stderr."""
    print(line, file=sys.stderr, flush=True)
