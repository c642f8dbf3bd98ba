"""Train with ever larger learning rates, and draw the loss: find the rate to train with."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labwright.args.tools import LrFindOptions
from labwright.runs.durable import strict_json

from .table import print_table
from .tool_picture import check_output, draw_picture

if TYPE_CHECKING:
    from labwright.args import ExperimentArgs
    from labwright.bare import BareExperiment
    from labwright.session.tools import Sweep

OPTIONS = LrFindOptions
_SHOWN = 12


def run(experiment: "BareExperiment[ExperimentArgs]", options: LrFindOptions) -> None:
    """Print the table and the suggestion, draw the picture, and say where it is."""
    check_output(options.output)
    from labwright.session.tools import find_learning_rate

    sweep, flag = find_learning_rate(experiment, options), _flag(experiment.args)
    if options.as_json:
        print(strict_json({**sweep.to_json(), "flag": flag}, indent=2).decode())
    else:
        _print(sweep, flag)
    if options.output is not None or not options.as_json:
        path = draw_picture(experiment, "lr_find", options.output, lambda path: _draw(sweep, path))
        print(f"picture: {path}", file=sys.stderr if options.as_json else sys.stdout)


def _flag(args: Any) -> str | None:
    """The flag that sets the learning rate; None where nobody can know it."""
    return "--optimizer.learning_rate" if hasattr(getattr(args, "optimizer", None), "learning_rate") else None


def _print(sweep: "Sweep", flag: str | None) -> None:
    num_steps = len(sweep.rates)
    shown = sorted({round(place * (num_steps - 1) / (_SHOWN - 1)) for place in range(_SHOWN)})
    cells = [[f"{sweep.rates[step]:.2e}", f"{sweep.smoothed[step]:.4g}", f"{sweep.losses[step]:.4g}"] for step in shown]
    print_table(["learning rate", "loss", "of the step"], cells)
    if sweep.is_diverged:
        print(f"\nthe loss explodes at {sweep.rates[-1]:.2g}, after {num_steps} steps")
    if sweep.steepest is None or sweep.tenth_of_minimum is None:
        print("\nno suggestion: the loss does not fall by more than it scatters; try --batch_size or --highest_rate")
        return
    print(f"\nsteepest descent: {sweep.steepest:.2g}; a tenth of the rate with the least loss: ", end="")
    print(f"{sweep.tenth_of_minimum:.2g}" + (f"; now: {sweep.rate_now:.2g}" if sweep.rate_now else ""))
    if flag is not None:
        print(f"to try: {flag}={sweep.steepest:.2g}")


def _draw(sweep: "Sweep", path: Path) -> None:
    from labwright.runs.plots import plot_learning_rates

    marks = {
        "now": sweep.rate_now,  # first, to look the same whatever else there is
        "steepest descent": sweep.steepest,
        "a tenth of the rate of least loss": sweep.tenth_of_minimum,
    }
    end = "; the loss explodes at the right end" if sweep.is_diverged else ""
    plot_learning_rates(
        sweep.rates,
        sweep.losses,
        sweep.smoothed,
        path,
        f"{sweep.experiment_id}: loss by learning rate",
        subtitle=f"{len(sweep.rates)} steps, each with a larger rate{end}",
        marks={name: rate for name, rate in marks.items() if rate},
    )
