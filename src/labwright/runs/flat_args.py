"""The arguments of several runs by their paths: which differ, and what to call them where there is little room."""

import json
from collections.abc import Mapping, Sequence
from typing import Any


def differing_args(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The names of flat arguments in which these runs differ, in order of appearance.

    An argument that only some runs have differs too, unless the choice of a part explains that: where the optimizers
    are of two kinds, that one has a `momentum` and the other has not is no news.
    """
    names = dict.fromkeys(name for args in runs for name in args)
    return [name for name in names if _differs(name, runs)]


def _differs(name: str, runs: Sequence[Mapping[str, Any]]) -> bool:
    present = [args for args in runs if name in args]
    if len({_comparable(args[name]) for args in present}) > 1:
        return True
    return any(lacking(name, runs))


def lacking(name: str, runs: Sequence[Mapping[str, Any]]) -> list[bool]:
    """Whether each run is without this flat argument though others with the same choices of parts have it."""
    alike = {_choices_around(name, args) for args in runs if name in args}
    return [name not in args and _choices_around(name, args) in alike for args in runs]


def _choices_around(name: str, args: Mapping[str, Any]) -> tuple[str, ...]:
    """Which experiment, and which kind each part is that an argument belongs to."""
    parts = name.split(".")
    parents = [".".join(parts[:depth]) for depth in range(1, len(parts))]
    return tuple(_comparable(args.get(key)) for key in ["experiment_id", *(f"{parent}.kind" for parent in parents)])


def _comparable(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def short_names(paths: Sequence[str]) -> dict[str, str]:
    """The last part of each path where no other ends in it; a `kind` is named by its part."""
    leaves = [_leaf(path) for path in paths]
    return {path: leaf if leaves.count(leaf) == 1 else path for path, leaf in zip(paths, leaves, strict=True)}


def _leaf(path: str) -> str:
    return path.removesuffix(".kind").rpartition(".")[2]
