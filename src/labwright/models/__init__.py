"""Floor 2: stock models. Each Args class builds an ordinary `nn.Module` with the submodules `body` and `head`."""

from typing import TYPE_CHECKING

from labwright.lazy import lazy_names

if TYPE_CHECKING:
    from .args import CNNArgs as CNNArgs
    from .args import MLPArgs as MLPArgs
    from .args import ModelArgs as ModelArgs
    from .args import ModelUnion as ModelUnion
    from .cnn import CNN as CNN
    from .mlp import MLP as MLP
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        {
            "CNN": ".cnn",
            "CNNArgs": ".args",
            "MLP": ".mlp",
            "MLPArgs": ".args",
            "ModelArgs": ".args",
            "ModelUnion": ".args",
        },
    )
