"""What can be asked of a run in a list: its facts, metrics and arguments, by the names people use for them.

status, tag, started_at, ...    facts: the names in `FACTS`
val/accuracy, accuracy          a metric of the weights the run keeps; a bare name means val/
last/val/accuracy               the same after its last epoch
optimizer.learning_rate         an argument by its path, or by the end of one that no other argument of a run has
args.status                     an argument, where a fact or a metric has its name
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from labwright.args.errors import UserError
from labwright.args.wording import listed, nearest, quoted

from .summary import RunSummary

Reader = Callable[[RunSummary], Any]
"""Gives what a run has; None where it has nothing of the kind."""

FACTS: dict[str, Reader] = {
    "id": lambda run: run.id,
    "path": lambda run: str(run.path),
    "experiment_id": lambda run: run.experiment_id,
    "experiment": lambda run: run.experiment_id,
    "run_name": lambda run: run.run_name,
    "status": lambda run: run.status,
    "problem": lambda run: run.problem,
    "started_at": lambda run: run.started_at,
    "ended_at": lambda run: run.ended_at,
    "duration_seconds": lambda run: run.duration_seconds,
    "epoch": lambda run: run.epoch,
    "step": lambda run: run.step,
    "dataset": lambda run: run.dataset,
    "tag": lambda run: run.tags,
    "tags": lambda run: run.tags,
    "note": lambda run: run.note,
    "archived": lambda run: run.archived,
    "debug": lambda run: run.debug,
    "best_metric": lambda run: run.best_metric,
    "best_epoch": lambda run: run.best_epoch,
    "best_value": lambda run: run.metrics.get(run.best_metric or ""),
    "parent": lambda run: run.parent,
    "identity": lambda run: run.identity,
    "commit": lambda run: run.commit,
    "tree": lambda run: run.tree,
}
_LAST, _ARGS = "last/", "args."


class Fields:
    """The names that mean something for at least one of `runs`."""

    def __init__(self, runs: Sequence[RunSummary]) -> None:
        self._runs = runs

    @cached_property
    def metrics(self) -> list[str]:
        return sorted(set[str]().union(*(run.metrics for run in self._runs)))

    @cached_property
    def last_metrics(self) -> list[str]:
        return sorted(set[str]().union(*(run.last for run in self._runs)))

    @cached_property
    def args(self) -> list[str]:
        """The paths of all arguments."""
        return sorted(set[str]().union(*(run.args for run in self._runs)))

    def reader(self, name: str) -> Reader:
        """What gives the value of `name`.

        Raises:
            UserError: no run has it, or it fits several arguments of one run.
        """
        if name in FACTS:
            return FACTS[name]
        if name.startswith(_LAST):
            metric = self._metric(name.removeprefix(_LAST), self.last_metrics)
            return (lambda run: run.last.get(metric)) if metric else self._refuse(name)
        metric = self._metric(name, self.metrics)
        if metric is not None:
            return lambda run: run.metrics.get(metric)
        return self._argument(name)

    def _metric(self, name: str, known: Sequence[str]) -> str | None:
        return next((full for full in (name, f"val/{name}") if full in known), None)

    def _argument(self, name: str) -> Reader:
        path = name.removeprefix(_ARGS)
        if path in self.args and not any(known.endswith(f".{path}") for known in self.args):
            return lambda run: run.args.get(path)
        fits = [known for known in self.args if known.endswith(f".{path}")]
        if not fits:
            self._refuse(name)
        for run in self._runs:
            found = [known for known in fits if known in run.args]
            if len(found) > 1 and path not in run.args:
                raise UserError(f"{quoted(name)} fits several arguments; write one of {', '.join(found)}")
        return lambda run: next((run.args[known] for known in (path, *fits) if known in run.args), None)

    def _refuse(self, name: str) -> Any:
        leaves = [path.rpartition(".")[2] for path in self.args]
        bare = [metric.removeprefix("val/") for metric in self.metrics if metric.startswith("val/")]
        near = nearest(name, [*FACTS, *self.metrics, *bare, *self.args, *leaves])
        hint = f"did you mean {near}?" if near else f"known metrics: {listed(self.metrics, 10) or 'none'}"
        raise UserError(f"no run has {quoted(name)}; {hint}")
