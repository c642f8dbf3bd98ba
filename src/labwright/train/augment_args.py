"""What may be said about changes of training images. No torch."""

from typing import TYPE_CHECKING

from pydantic import Field

from labwright.args import Args

if TYPE_CHECKING:
    from .augment import Augmentation


class AugmentArgs(Args):
    """Random changes of training images, drawn anew for each sample and epoch; by default none."""

    crop_padding: int = Field(
        default=0, ge=0, description="Pixels by which an image may be moved in each direction; what comes in is 0."
    )
    horizontal_flip: bool = Field(default=False, description="Mirror half of the images left to right.")
    erase_size: int = Field(default=0, ge=0, description="Side of a square that is set to 0 in each image; 0: none.")

    def build(self) -> "Augmentation | None":
        """The changes, to be called with images [samples, channels, height, width]; None: there are none."""
        from .augment import Augmentation

        if self == AugmentArgs():
            return None
        return Augmentation(
            crop_padding=self.crop_padding, horizontal_flip=self.horizontal_flip, erase_size=self.erase_size
        )
