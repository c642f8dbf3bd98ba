"""Which run is meant: by a path, an id or a part of it, `last`, or `best:val/accuracy`."""

import os
from collections.abc import Sequence
from pathlib import Path

from labwright.args.errors import UserError
from labwright.args.wording import listed, nearest, quoted

from ..directory import RunDirectory, open_run
from .index import read_index, run_paths
from .query import is_expression, select
from .summary import DAMAGED, RunSummary, lower_is_better

MEANINGS = "a path, an id, the unique beginning or end of one, last, or best:METRIC"


def find_run(text: str, results_dir: Path) -> RunDirectory:
    """The run that `text` means: a path, its id, the unique beginning or end of that, `last`, or `best:val/accuracy`.

    Raises:
        UserError: there is none, or several; it names the candidates or the nearest.
    """
    if text == "last":
        return _newest(results_dir)
    if text.startswith("best:"):
        return _best(text.removeprefix("best:"), results_dir)
    path = _typed_path(text, results_dir)
    return open_run(path) if path is not None else _by_id(text, results_dir)


def find_runs(texts: Sequence[str], results_dir: Path) -> list[RunDirectory]:
    """The runs that `texts` mean, each once, in this order; a filter expression means all that it fits.

    Archived runs are left out of a filter that does not ask for them.
    """
    found = [run for text in texts for run in _one_or_more(text, results_dir)]
    return list(dict.fromkeys(found))


def _one_or_more(text: str, results_dir: Path) -> list[RunDirectory]:
    if not is_expression(text) or _typed_path(text, results_dir) is not None:
        return [find_run(text, results_dir)]
    asks_for_archived = "archived" in text
    runs = [run for run in select(read_index(results_dir), text) if asks_for_archived or not run.archived]
    if not runs:
        raise UserError(f"no run in {results_dir} fits {quoted(text)}")
    return [RunDirectory(run.path) for run in runs]


def _typed_path(text: str, results_dir: Path) -> Path | None:
    """The path that `text` is, from here or from the results directory; None where it is none."""
    try:
        path = Path(text).expanduser()
        candidates = [path, results_dir / path]
        existing = next((each for each in candidates if (each / "run.json").is_file()), None)
    except (OSError, RuntimeError, ValueError):  # too long, a user that nobody knows, a NUL
        return None
    return path if existing is None and os.sep in text and not is_expression(text) else existing


def _newest(results_dir: Path) -> RunDirectory:
    return RunDirectory(_runs(results_dir, also_damaged=True)[-1].path)  # another one would be the wrong one


def _best(metric: str, results_dir: Path) -> RunDirectory:
    name = metric if "/" in metric else f"val/{metric}"
    runs = [run for run in _runs(results_dir) if not run.archived and not run.debug]
    measured = [(value, run) for run in runs if (value := run.metrics.get(name)) is not None]
    if not measured:
        known = sorted({known for run in runs for known in run.metrics})
        near = nearest(name, known)
        hint = f"did you mean {near}?" if near else f"known: {listed(known) or 'none'}"
        raise UserError(f"best:{metric}: no run in {results_dir} has {name}; {hint}")
    decided = [run.lower_is_better for _, run in measured if run.best_metric == name]
    is_low = next((low for low in reversed(decided) if low is not None), lower_is_better(name))
    return RunDirectory(min(measured, key=lambda found: found[0] if is_low else -found[0])[1].path)


def _runs(results_dir: Path, *, also_damaged: bool = False) -> list[RunSummary]:
    """All runs that can be read, oldest first."""
    runs = [run for run in read_index(results_dir) if also_damaged or run.status != DAMAGED]
    if not runs:
        raise UserError(_nothing_in(results_dir))
    return runs


def _by_id(text: str, results_dir: Path) -> RunDirectory:
    paths = [Path(path) for path in run_paths(results_dir)]
    if not paths:
        raise UserError(_nothing_in(results_dir))
    found = [path for path in paths if path.name == text]
    if not found and text:
        found = [path for path in paths if path.name.startswith(text) or path.name.endswith(text)]
    if len(found) > 1:
        names = [str(path.relative_to(results_dir)) for path in sorted(found, reverse=True)]
        raise UserError(f"{quoted(text)} fits {len(found):,} runs: {listed(names, 5)}")
    if found:
        return RunDirectory(found[0])  # also a damaged one: it can be shown and deleted
    near = nearest(text, [path.name for path in paths])
    hint = f"did you mean {near}?" if near else f"a run is {MEANINGS}"
    raise UserError(f"no run {quoted(text)} in {results_dir}; {hint}")


def _nothing_in(results_dir: Path) -> str:
    return f"there is no run in {results_dir}; --results_dir=DIR says where to look"
