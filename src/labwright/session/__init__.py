"""Floor 3: one run of an experiment, from what was asked to what it leaves."""

from typing import TYPE_CHECKING

from labwright.lazy import lazy_names

if TYPE_CHECKING:
    from .deciding import deciding_value as deciding_value
    from .histograms import plot_histograms as plot_histograms
    from .launch import OF_THIS_START as OF_THIS_START
    from .launch import Launch as Launch
    from .launch import changed_fields as changed_fields
    from .launch import flags_of as flags_of
    from .predictions import Predictions as Predictions
    from .predictions import choose_threshold as choose_threshold
    from .predictions import decode as decode
    from .predictions import plot_predictions as plot_predictions
    from .predictions import predict as predict
    from .predictions import recorded_threshold as recorded_threshold
    from .preflight import Preflight as Preflight
    from .preflight import run_preflight as run_preflight
    from .recorder import Recorder as Recorder
    from .result import RunResult as RunResult
    from .result import build_result as build_result
    from .run import run_session as run_session
    from .run import run_stages as run_stages
    from .shared_state import restored as restored
    from .shared_state import whole as whole
    from .signals import StopRequest as StopRequest
    from .state import load_run_state as load_run_state
    from .state import run_state as run_state
    from .torch_parts import build_torch_parts as build_torch_parts
    from .torch_parts import load_returned_weights as load_returned_weights
    from .torch_parts import load_torch_state as load_torch_state
    from .torch_parts import torch_state as torch_state
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        {
            "Launch": ".launch",
            "OF_THIS_START": ".launch",
            "Predictions": ".predictions",
            "Preflight": ".preflight",
            "Recorder": ".recorder",
            "RunResult": ".result",
            "StopRequest": ".signals",
            "build_result": ".result",
            "build_torch_parts": ".torch_parts",
            "changed_fields": ".launch",
            "choose_threshold": ".predictions",
            "deciding_value": ".deciding",
            "decode": ".predictions",
            "flags_of": ".launch",
            "load_returned_weights": ".torch_parts",
            "load_run_state": ".state",
            "load_torch_state": ".torch_parts",
            "plot_histograms": ".histograms",
            "plot_predictions": ".predictions",
            "predict": ".predictions",
            "recorded_threshold": ".predictions",
            "restored": ".shared_state",
            "run_preflight": ".preflight",
            "run_session": ".run",
            "run_state": ".state",
            "run_stages": ".run",
            "torch_state": ".torch_parts",
            "whole": ".shared_state",
        },
    )
