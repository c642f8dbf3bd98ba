"""A `forward` that gives a dict, its keys handed by name to whoever asks for them."""

from collections.abc import Callable, Mapping
from functools import partial
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any, TypeVar

from labwright.args.errors import UserError
from labwright.args.wording import listed, nearest

if TYPE_CHECKING:
    from .batch import Batch, Loss

T = TypeVar("T")
_COLLECTING = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)


class RoutedForward:
    """For an experiment whose `forward` returns a dict: put it before `Experiment` among the bases.

        class Autoencoder(RoutedForward, Experiment[AutoencoderArgs]):
            def forward(self, batch):
                code = self.model.encoder(batch["input"])
                return {"code": code, "prediction": self.model.decoder(code)}

            def criterion(self, prediction, code, input):
                return F.mse_loss(prediction, input) + 1e-3 * code.abs().mean()

    Each argument of `criterion` is the key of that name of the dict, else of the batch. Metrics read the same dict, by
    their own names or as `--metric_inputs` says.
    """

    if TYPE_CHECKING:

        def forward(self, batch: Batch) -> Mapping[str, Any]: ...

        criterion: Callable[..., Any]

    def compute_loss(self, batch: "Batch") -> "Loss":
        """`criterion` of what `forward` gives and of the batch; the weight is the number of samples."""
        from .batch import Loss

        outputs = self.forward(batch)
        value = call_by_name(self.criterion, {**batch, **outputs})
        return Loss(value, dict(outputs), len(batch["index"]))


def call_by_name(function: Callable[..., T], values: Mapping[str, Any]) -> T:
    """The function of those of `values` that its arguments name; of all, where it takes `**anything`.

    A module is asked what its `forward` takes. What a `functools.partial` was given stays as given.

    Raises:
        UserError: an argument without a default has no value, or the arguments have no names to call them by.
    """
    values = {name: value for name, value in values.items() if name not in getattr(function, "keywords", {})}
    parameters = _parameters(function)
    required = [one.name for one in parameters if one.default is Parameter.empty and one.kind not in _COLLECTING]
    missing = [name for name in required if name not in values]
    if missing:
        near = nearest(missing[0], list(values))
        hint = f"; did you mean {near!r}?" if near else ""
        raise UserError(
            f"{_title(function)} asks for {missing[0]!r}, but forward and the batch give "
            f"{listed(map(repr, values))}{hint}"
        )
    if any(one.kind is Parameter.VAR_KEYWORD for one in parameters):
        return function(**values)
    return function(**{one.name: values[one.name] for one in parameters if one.name in values})


def _parameters(function: Callable[..., Any]) -> list[Parameter]:
    try:
        parameters = [*signature(_asked(function)).parameters.values()]
    except (TypeError, ValueError):  # no function, or one that is written in C
        parameters = None
    if parameters is None or any(one.kind is Parameter.POSITIONAL_ONLY for one in parameters):
        raise UserError(
            f"{_title(function)} has no named arguments to call it by; wrap it in a function that has some, such as "
            "def criterion(self, prediction, target)"
        )
    return parameters


def _asked(function: Callable[..., Any]) -> Callable[..., Any]:
    """Whose signature counts: a module hands all it is called with to its `forward`, so its own takes anything."""
    if isinstance(function, partial):
        return partial(_asked(function.func), *function.args, **function.keywords)
    return getattr(function, "forward", function)


def _title(function: Callable[..., Any]) -> str:
    """What errors call it: a function by its name, anything else by its type."""
    function = function.func if isinstance(function, partial) else function
    return getattr(function, "__qualname__", type(function).__name__)
