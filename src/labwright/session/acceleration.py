"""What the args say of speed, carried out: layouts, compilation, CUDA graphs, arithmetic."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from labwright.args import ExperimentArgs, UserError
from labwright.train.arithmetic import can_flush, flushed_denormals, matmul_precision
from labwright.train.compiling import compile_in_place, compiled, is_of_compiler, reason, require_compiler
from labwright.train.cuda_graphs import MOST_WEIGHTS, use_cuda_graphs
from labwright.train.freed_memory import can_keep, kept_freed_memory
from labwright.train.layouts import has_convolutions, prefers_channels_last, to_channels_last

if TYPE_CHECKING:
    from labwright.experiment import Experiment

_COMPILED = "_compiled_loss"
_STOCK_STEP = ("forward", "compute_loss", "train_batch", "backward", "step")
"""Methods that together make one forward and one backward pass of the model in each batch, and a step."""


def accelerate(experiment: "Experiment[ExperimentArgs]") -> None:
    """Lay out, compile or graph the model, which is on its device.

    Raises:
        UserError: what is asked for cannot be had here.
    """
    args, chosen = experiment.args, experiment.chosen
    chosen["matmul_precision"] = args.matmul_precision
    chosen["flush_denormals"] = args.flush_denormals and can_flush()
    chosen["keep_freed_memory"] = args.keep_freed_memory and can_keep()
    chosen["channels_last"] = _lay_out(experiment)
    chosen["compile"] = args.compile
    _compile(experiment)
    chosen["cuda_graphs"] = _graph(experiment)


@contextmanager
def computing(experiment: "Experiment[ExperimentArgs]") -> Iterator[None]:
    """Within, the process computes as the args say; afterwards as before.

    Raises:
        UserError: torch.compile failed within.
    """
    args = experiment.args
    keeps = kept_freed_memory(at_once=False) if args.keep_freed_memory else nullcontext()
    with flushed_denormals(args.flush_denormals), matmul_precision(args.matmul_precision), keeps as freed_memory:
        experiment.freed_memory = freed_memory
        try:
            yield
        except Exception as error:
            if args.compile and is_of_compiler(error):
                raise UserError(f"--compile: torch.compile fails: {reason(error)}; leave --compile out") from error
            raise
        finally:
            experiment.freed_memory = None


def _lay_out(experiment: "Experiment[ExperimentArgs]") -> bool:
    wanted, model = experiment.args.channels_last, experiment.model
    if wanted == "auto":
        wanted = prefers_channels_last(model, experiment.device)
    elif wanted and not has_convolutions(model):
        raise UserError("--channels_last: the model has no convolutions of images; leave it out")
    if wanted:
        to_channels_last(model)
    return wanted


def _compile(experiment: "Experiment[ExperimentArgs]") -> None:
    own = vars(experiment)
    if own.get("compute_loss") is own.get(_COMPILED):  # that of a run before
        own.pop("compute_loss", None)
    if not experiment.args.compile:
        return
    if experiment.options.strategy == "fsdp" and experiment.world.size > 1:
        raise UserError("--compile does not go with --strategy=fsdp; leave one of the two out")
    require_compiler(experiment.device)
    compile_in_place(experiment.model)
    own["compute_loss"] = own[_COMPILED] = compiled(experiment.compute_loss)


def _graph(experiment: "Experiment[ExperimentArgs]") -> bool:
    wanted = experiment.args.cuda_graphs
    obstacle = _obstacle_to_graphs(experiment) if wanted else None
    if wanted == "auto":
        num_weights = sum(each.numel() for each in experiment.model.parameters())
        wanted = obstacle is None and num_weights <= MOST_WEIGHTS
    elif obstacle is not None:
        raise UserError(f"--cuda_graphs=true: {obstacle}; leave it out, or say auto")
    if wanted:
        use_cuda_graphs(experiment.model, experiment.args.batch_size)
    return wanted


def _obstacle_to_graphs(experiment: "Experiment[ExperimentArgs]") -> str | None:
    """Why graphs would fail, or compute something else; None: they would not."""
    args, kind = experiment.args, type(experiment)
    if experiment.device.type != "cuda":
        return f"there are no CUDA graphs on {experiment.device}"
    if args.compile:
        return "--compile changes what they would be made of"
    if args.accumulate_batches > 1:
        return "a graph keeps the gradients of one batch, --accumulate_batches those of several"
    if experiment.world.size > 1:
        return "several ranks exchange gradients while they are computed"
    if experiment.options.detect_anomaly:
        return "--detect_anomaly looks at every operation, and a graph is one"
    own = [name for name in _STOCK_STEP if getattr(kind, name).__module__ != "labwright.experiment"]
    if own:
        return f"{kind.__name__} has its own {own[0]}, and a graph needs to know what happens in a batch"
    return None
