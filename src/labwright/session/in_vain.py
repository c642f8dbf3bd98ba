"""Settings of training, said where nothing is trained: each has no effect, and that is told."""

from typing import TYPE_CHECKING

from labwright.args import ExperimentArgs
from labwright.args.wording import flag_key, listed
from labwright.datasets import AugmentArgs
from labwright.optimizers import OptimizerArgs
from labwright.schedulers import SchedulerArgs

from .launch import Launch, changed_fields

if TYPE_CHECKING:
    from labwright.bare import BareExperiment

_ARGS_OF_TRAINING = frozenset(
    {
        "accumulate_batches",
        "best_model_metric",
        "constant_offset_sd",
        "early_stopping_delta",
        "early_stopping_patience",
        "ema_decay",
        "ema_every_n_steps",
        "ema_warmup_steps",
        "epochs",
        "gradient_clipping",
        "gradient_clipping_value",
        "max_skipped_steps",
        "minimize_best_model_metric",
        "return_best_model",
        "sync_batchnorm",
        "use_ema_weights",
        "white_noise_sd",
    }
)
_OPTIONS_OF_TRAINING = frozenset(
    {
        "background_checkpoints",
        "checkpoint_every_n_steps",
        "checkpoint_every_seconds",
        "detect_anomaly",
        "keep_best",
        "keep_checkpoints",
        "log_every_n_steps",
    }
)


def settings_in_vain(experiment: "BareExperiment[ExperimentArgs]", launch: Launch) -> list[str]:
    """A line that names the flags of this start which say how to train, where its mode is not to; else none.

    They are no mistake: whoever tests a run adds two words to the line that trained it. Presets and the environment
    are not looked at.
    """
    args, options = experiment.args, experiment.options
    if options.stage == "train":
        return []
    parts = (OptimizerArgs, SchedulerArgs, AugmentArgs)
    of_training = {name for name in type(args).model_fields if isinstance(getattr(args, name), parts)}
    of_training |= _ARGS_OF_TRAINING
    said = {label.partition("=")[0]: path for path, label in launch.sources.items() if label.startswith("--")}
    flags = [label for label, path in said.items() if path.partition(".")[0] in of_training]
    words = [flag_key(word[2:].partition("=")[0]) for word in launch.typed if word.startswith("--")]
    typed = {word.removeprefix("no_") for word in words}
    changed = [name for name in changed_fields(options) if name in _OPTIONS_OF_TRAINING]
    flags += [f"--{name}" for name in changed if name in typed or not launch.typed]  # from Python nothing is typed
    if not flags:
        return []
    have = "has" if len(flags) == 1 else "have"
    return [f"mode={options.stage} trains nothing: {listed(flags)} {have} no effect"]
