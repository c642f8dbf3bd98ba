"""The registry: experiment ids and where their Args classes live. Data, resolved only when asked."""

from collections.abc import Iterator, Mapping
from importlib import import_module

from .errors import UserError
from .experiment import ExperimentArgs, default_id
from .wording import nearest

Registry = Mapping[str, "str | type[ExperimentArgs]"]
"""id -> "package.module:ArgsClass", or the class itself."""


def as_registry(experiments: Registry | type[ExperimentArgs]) -> Registry:
    """A registry; a single Args class is one of one experiment, named after the class."""
    if isinstance(experiments, Mapping):
        return experiments
    return {experiments.model_fields["experiment_id"].default or default_id(experiments): experiments}


def resolve(experiments: Registry, experiment_id: str, *, said: str = "--experiment_id") -> type[ExperimentArgs]:
    """The Args class registered as `experiment_id`; `said` is what an error calls the place that named it.

    Raises:
        UserError: nothing is registered under that id, or what is registered is no Args class.
        ImportError: whatever importing the experiment's module raises is not hidden.
    """
    if experiment_id not in experiments:
        guess = nearest(experiment_id, list(experiments))
        hint = f"did you mean {guess}? " if guess else ""
        raise UserError(f"{said}: {experiment_id!r} is not registered; {hint}known: {', '.join(experiments)}")
    entry = experiments[experiment_id]
    if isinstance(entry, str):
        module, _, name = entry.partition(":")
        found = getattr(import_module(module), name, None)
        if found is None:
            raise UserError(
                f"registry: {experiment_id} names {entry}, but {module} has no {name or 'class named after a colon'}"
            )
        entry = found
    if not (isinstance(entry, type) and issubclass(entry, ExperimentArgs)):
        raise UserError(f"registry: {experiment_id} must name a subclass of ExperimentArgs, not {entry!r}")
    return entry


def describe(experiments: Registry) -> Iterator[tuple[str, str]]:
    """Each id with the first line of its docstring; a broken experiment says what is wrong with it instead."""
    for experiment_id in experiments:
        try:
            doc = resolve(experiments, experiment_id).__doc__ or ""
            yield experiment_id, doc.strip().partition("\n")[0]
        except Exception as error:  # one broken experiment must not hide the others
            yield experiment_id, f"(broken: {type(error).__name__}: {str(error).partition(chr(10))[0]})"
