"""What may be said about the models of this lab."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field, PositiveInt

from labwright.args import UserError
from labwright.models import ModelArgs

if TYPE_CHECKING:
    from .unet import UNet


class UNetArgs(ModelArgs):
    """From an image to as many maps of its size as there are outputs, a U-Net (Ronneberger et al., 2015)."""

    kind: Literal["unet"] = "unet"
    channels: list[PositiveInt] = Field(
        default=[16, 32, 64],
        min_length=1,
        description="Feature maps at each resolution, of which each is half the one before.",
    )

    def build(self, input_shape: tuple[int, ...], num_outputs: int) -> "UNet":
        from .unet import UNet

        if len(input_shape) != 3:
            raise UserError(
                "the model unet needs images of shape [channels, height, width], "
                f"but these samples have shape {list(input_shape)}"
            )
        return UNet(input_shape[0], self.channels, num_outputs)
