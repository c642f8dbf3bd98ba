"""Train a few steps with ever larger batches: find the largest that fits into memory, and the fastest."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from labwright.args.tools import BatchFindOptions
from labwright.runs.durable import strict_json
from labwright.runs.sizes import bytes_text, count_text

from .table import print_table
from .tool import say
from .tool_picture import check_output, draw_picture

if TYPE_CHECKING:
    from labwright.args import ExperimentArgs
    from labwright.bare import BareExperiment
    from labwright.session.tools import BatchSizes, Tried

OPTIONS = BatchFindOptions


def run(experiment: "BareExperiment[ExperimentArgs]", options: BatchFindOptions) -> int:
    """Print a row for each size and the answers, and draw them; 1 where no size fits."""
    check_output(options.output)
    from labwright.session.tools import find_batch_size

    found = find_batch_size(experiment, options, lambda tried: say(f"{tried.batch_size}: {_verdict(tried)}"))
    if options.as_json:
        print(strict_json(found.to_json(), indent=2).decode())
    else:
        rows = [[str(each.batch_size), _memory(each), *_speed(each), _verdict(each)] for each in found.tried]
        print_table(["batch_size", "memory", "samples/s", "CPU us a sample", ""], rows)
        print(f"\nmemory to use: {bytes_text(found.limit_bytes)}\n{found.summary()}")
    if found.largest and (options.output is not None or not options.as_json):
        path = draw_picture(experiment, "batch_find", options.output, lambda path: _draw(found, path))
        print(f"picture: {path}", file=sys.stderr if options.as_json else sys.stdout)
    return 0 if found.largest else 1


def _draw(found: "BatchSizes", path: Path) -> None:
    from labwright.runs.plots import BatchPoint, plot_batch_sizes

    largest, fastest = found.largest, found.fastest
    if largest is fastest:
        marks = {"largest that fits, and the fastest": largest}
    else:
        marks = {"largest that fits": largest, "smallest within 5 % of the fastest": fastest}
    points = [BatchPoint(each.batch_size, each.fits, each.samples_per_second, each.peak_bytes) for each in found.tried]
    crosses = "" if all(point.fits for point in points) else "; crosses do not fit"
    plot_batch_sizes(
        points,
        path,
        f"{found.experiment_id}: speed and memory by batch size",
        limit=found.limit_bytes,
        subtitle=f"{count_text(len(points), 'size')} tried{crosses}",
        marks={name: each.batch_size for name, each in marks.items() if each},
    )


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
