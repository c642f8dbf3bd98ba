"""Train a few steps with ever larger batches: find the largest that fits into memory, and the fastest."""

from typing import TYPE_CHECKING

from labwright.args.tools import BatchFindOptions
from labwright.runs.durable import strict_json
from labwright.runs.sizes import bytes_text

from .table import print_table
from .tool import say

if TYPE_CHECKING:
    from labwright.args import ExperimentArgs
    from labwright.bare import BareExperiment
    from labwright.session.tools import Tried

OPTIONS = BatchFindOptions


def run(experiment: "BareExperiment[ExperimentArgs]", options: BatchFindOptions) -> int:
    """Print a row for each size and the answers; 1 where no size fits."""
    from labwright.session.tools import find_batch_size

    found = find_batch_size(experiment, options, lambda tried: say(f"{tried.batch_size}: {_verdict(tried)}"))
    if options.as_json:
        print(strict_json(found.to_json(), indent=2).decode())
    else:
        rows = [[str(each.batch_size), _memory(each), *_speed(each), _verdict(each)] for each in found.tried]
        print_table(["batch_size", "memory", "samples/s", "CPU us a sample", ""], rows)
        print(f"\nmemory to use: {bytes_text(found.limit_bytes)}\n{found.summary()}")
    return 0 if found.largest else 1


def _memory(tried: "Tried") -> str:
    return "" if tried.peak_bytes is None else bytes_text(tried.peak_bytes)


def _speed(tried: "Tried") -> list[str]:
    if tried.samples_per_second is None or tried.cpu_seconds_per_sample is None:
        return ["", ""]
    return [f"{tried.samples_per_second:.0f}", f"{1e6 * tried.cpu_seconds_per_sample:.3g}"]


def _verdict(tried: "Tried") -> str:
    if tried.fits:
        return "fits"
    return "would not fit" if tried.is_foreseen else "does not fit"
