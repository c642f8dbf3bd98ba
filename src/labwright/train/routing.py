"""A `forward` that gives a dict, its keys handed by name to whoever asks for them."""

from collections.abc import Callable, Mapping
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any, TypeVar

from labwright.args.errors import UserError
from labwright.args.wording import listed, nearest

if TYPE_CHECKING:
    from .batch import Batch, Loss

T = TypeVar("T")


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

    Raises:
        UserError: an argument without a default has no value.
    """
    parameters = signature(function).parameters.values()
    if any(parameter.kind is Parameter.VAR_KEYWORD for parameter in parameters):
        return function(**values)
    missing = [one.name for one in parameters if one.default is Parameter.empty and one.name not in values]
    if missing:
        near = nearest(missing[0], list(values))
        hint = f"; did you mean {near!r}?" if near else ""
        raise UserError(
            f"{function.__qualname__} asks for {missing[0]!r}, but forward and the batch give "
            f"{listed(map(repr, values))}{hint}"
        )
    return function(**{one.name: values[one.name] for one in parameters if one.name in values})
