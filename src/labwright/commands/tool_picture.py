"""The picture of a command that tries an experiment out: where it goes, and what is said where it cannot."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from labwright.args.errors import UserError

if TYPE_CHECKING:
    from labwright.args import ExperimentArgs
    from labwright.bare import BareExperiment

_FORMATS = (".png", ".pdf", ".svg")


def check_output(output: Path | None) -> None:
    """Raise a UserError if a picture that somebody asks for cannot be written there."""
    if output is not None and (output.suffix not in _FORMATS or not output.absolute().parent.is_dir()):
        raise UserError(f"--output={output}: must be a {', '.join(_FORMATS)} file in a folder that is there")


def draw_picture(
    experiment: "BareExperiment[ExperimentArgs]", folder: str, output: Path | None, draw: Callable[[Path], None]
) -> Path:
    """Draw to `output`, else into this folder of the results directory; where it is.

    Raises:
        UserError: nothing can be written there.
    """
    moment = time.strftime("%Y-%m-%d_%H-%M-%S")
    usual = experiment.machine.results_dir / folder / f"{experiment.args.experiment_id}_{moment}.png"
    path = output or usual
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draw(path)
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}); choose another with --output=FILE") from error
    return path
