"""Floor 2: stock learning rate schedules, each a closed form of the epochs or steps done."""

from typing import TYPE_CHECKING

from labwright.lazy import lazy_names

if TYPE_CHECKING:
    from .args import ConstantArgs as ConstantArgs
    from .args import CosineArgs as CosineArgs
    from .args import ExponentialArgs as ExponentialArgs
    from .args import MultiStepArgs as MultiStepArgs
    from .args import OneCycleArgs as OneCycleArgs
    from .args import PlateauArgs as PlateauArgs
    from .args import SchedulerArgs as SchedulerArgs
    from .args import SchedulerUnion as SchedulerUnion
    from .args import StepArgs as StepArgs
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        {
            "ConstantArgs": ".args",
            "CosineArgs": ".args",
            "ExponentialArgs": ".args",
            "MultiStepArgs": ".args",
            "OneCycleArgs": ".args",
            "PlateauArgs": ".args",
            "SchedulerArgs": ".args",
            "SchedulerUnion": ".args",
            "StepArgs": ".args",
        },
    )
