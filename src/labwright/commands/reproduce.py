"""Run the recorded code of a run again, and say whether the result is identical, within a tolerance, or different."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from labwright.args.errors import UserError
from labwright.runs.durable import strict_json
from labwright.runs.listing.find import MEANINGS, find_run

from .base import Project
from .verify import EPILOG, say


def add_flags(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.epilog = EPILOG
    parser.add_argument("run", metavar="RUN", help=MEANINGS)
    parser.add_argument(
        "--tolerance",
        type=float,
        default=1e-3,
        metavar="X",
        help="relative difference of losses and final metrics that passes (default: %(default)s)",
    )
    parser.add_argument(
        "--in", dest="folder", type=Path, metavar="DIR", help="do it in this new or empty folder, which is kept"
    )
    parser.add_argument("--keep", action="store_true", help="keep the temporary folder, and say where it is")
    parser.add_argument("--json", action="store_true", help="print the verdict as JSON")


def run(given: Namespace, project: Project) -> int:
    """Print the verdict; 0: identical or within the tolerance, 1: different."""
    from labwright.runs.proof.repetition import repeat_run, working_folder
    from labwright.runs.proof.reproduction import reproduce_run

    if not given.tolerance >= 0:
        raise UserError(f"reproduce: --tolerance={given.tolerance} is not 0 or more")
    found = find_run(given.run, project.results_dir)
    with working_folder(given.folder, keep=given.keep) as folder:
        repetition = repeat_run(found, folder / "code", cache_dir=project.machine.cache_dir, here=Path.cwd())
        ranks = f", on {repetition.num_ranks} ranks" * (repetition.num_ranks > 1)
        say(f"doing {found.path.name} again with {repetition.code_text}{ranks}")
        reproduction = reproduce_run(repetition, folder, tolerance=given.tolerance, say=say)
        if given.keep or given.folder:
            say(f"kept: {folder}")
    print(strict_json(reproduction.to_json(), indent=2).decode() if given.json else "\n".join(reproduction.lines()))
    return 1 if reproduction.verdict == "different" else 0
