"""The arguments of older runs, with those that their experiment has had only since then: at their defaults."""

from collections.abc import Mapping, Sequence
from typing import Any

from labwright.args.base import canonical
from labwright.args.registry import resolve
from labwright.runs.flat_args import differing_args, lacking
from labwright.runs.listing.summary import flat

from .base import Project


def with_defaults(runs: Sequence[Mapping[str, Any]], project: Project) -> list[Mapping[str, Any]]:
    """The flat arguments of each run; where some lack what makes them differ from others, with the default of that.

    An experiment is imported only where that is so. Runs whose experiment is gone, or takes their arguments no more,
    stay as they are.
    """
    names: list[list[str]] = [[] for _ in runs]
    for name in differing_args(runs):
        for missing, lacks in zip(names, lacking(name, runs), strict=True):
            missing += [name] * lacks
    return [_completed(args, missing, project) for args, missing in zip(runs, names, strict=True)]


def _completed(args: Mapping[str, Any], missing: list[str], project: Project) -> Mapping[str, Any]:
    if not missing:
        return args
    try:
        model = resolve(project.registry, str(args.get("experiment_id")))
        known = flat(canonical(model.model_validate(_nested(args))))
    except Exception:  # whatever importing an experiment of today raises, the runs of yesterday are listed
        return args
    return {**args, **{name: known[name] for name in missing if name in known}}


def _nested(args: Mapping[str, Any]) -> dict[str, Any]:
    """What `flat` was given, where no name had a dot in it."""
    found: dict[str, Any] = {}
    for path, value in args.items():
        *parents, name = path.split(".")
        inner = found
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[name] = value
    return found
