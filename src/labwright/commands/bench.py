"""Compare the training of an experiment with a bare loop over the same parts: what do the loop and each extra cost?"""

from typing import TYPE_CHECKING

from labwright.args.tools import BenchOptions
from labwright.runs.durable import strict_json

from .table import print_table
from .tool import say

if TYPE_CHECKING:
    from labwright.args import ExperimentArgs
    from labwright.bare import BareExperiment

OPTIONS = BenchOptions


def run(experiment: "BareExperiment[ExperimentArgs]", options: BenchOptions) -> None:
    """Print a row for each way to take the steps, and what it comes to."""
    from labwright.session.tools import measure_tax

    tax = measure_tax(experiment, options, say)
    if options.as_json:
        print(strict_json(tax.to_json(), indent=2).decode())
        return
    rows = [
        [
            row.name,
            f"{row.samples_per_second:.0f}",
            f"{1e6 * row.seconds_per_step:.1f}",
            f"{1e6 * row.cpu_seconds_per_step:.1f}",
            f"{row.ratio:.2f}",
            "{:.2f} to {:.2f}".format(*row.ratio_spread),
        ]
        for row in tax.rows
    ]
    print_table(["", "samples/s", "us a step", "CPU us a step", "x bare", "middle half"], rows)
    print(f"\n{tax.num_rounds} rounds of {tax.num_steps} steps on {tax.device}, medians\n{tax.sentence()}")
