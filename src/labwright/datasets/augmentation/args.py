"""What may be said about changes of training images. No torch."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, field_validator

from labwright.args import Args

if TYPE_CHECKING:
    from .augmentation import Augmentation

Share = Annotated[float, Field(gt=0, le=1)]


class AugmentArgs(Args):
    """Random changes of training images, which follow from seed, epoch and sample; by default none."""

    resized_crop: tuple[Share, Share] | None = Field(
        default=None,
        description="Cut out a part with a share of the area between these, such as [0.08, 1], and enlarge it to the "
        "image's size (Szegedy et al., 2015).",
    )
    crop_padding: int = Field(
        default=0, ge=0, description="Pixels by which an image may be moved in each direction; what comes in is 0."
    )
    horizontal_flip: bool = Field(default=False, description="Mirror half of the images left to right.")
    vertical_flip: bool = Field(default=False, description="Mirror half of the images top to bottom.")
    rand_augment: Literal["none", "light", "medium", "strong"] = Field(
        default="none",
        description="Two of 14 changes of place and colour for each image, of strength 5, 9 or 15 out of 30 "
        "(RandAugment: Cubuk et al., 2020).",
    )
    three_augment: bool = Field(
        default=False, description="Make each image grey, solarized or blurred (3-Augment: Touvron et al., 2022)."
    )
    torchvision: Literal["auto_augment", "augmix", "trivial_augment"] | None = Field(
        default=None, description="A policy of torchvision's, image by image; needs that package."
    )
    brightness: float = Field(default=0.0, ge=0, description="Brightness times 1 - x to 1 + x; 0: as it is.")
    contrast: float = Field(default=0.0, ge=0, description="Contrast times 1 - x to 1 + x; 0: as it is.")
    saturation: float = Field(default=0.0, ge=0, description="Saturation times 1 - x to 1 + x; 0: as it is.")
    hue: float = Field(default=0.0, ge=0, le=0.5, description="Part of the colour wheel that hues move by at most.")
    erase_size: int = Field(default=0, ge=0, description="Side of a square that is set to 0 in each image; 0: none.")
    mixup_alpha: float = Field(
        default=0.0, ge=0, description="Blend pairs of samples, by shares from Beta(x, x); 0: none."
    )
    cutmix_alpha: float = Field(
        default=0.0, ge=0, description="Exchange boxes within pairs of samples, of areas from Beta(x, x); 0: none."
    )
    value_range: tuple[float, float] | None = Field(
        default=None, description="Inputs that stand for black and white, where the dataset does not say."
    )
    mask_fill: int = Field(default=0, description="Class of the pixels that come in where masks move with images.")

    @field_validator("resized_crop")
    @classmethod
    def _ends_with_the_larger_share(cls, shares: tuple[float, float] | None) -> tuple[float, float] | None:
        if shares is not None and shares[0] > shares[1]:
            raise ValueError("the smaller share comes first")
        return shares

    @field_validator("value_range")
    @classmethod
    def _has_white_above_black(cls, levels: tuple[float, float] | None) -> tuple[float, float] | None:
        if levels is not None and levels[0] >= levels[1]:
            raise ValueError("black comes first, and white is above it")
        return levels

    @property
    def changes_nothing(self) -> bool:
        """Whether no change is asked for."""
        return self == AugmentArgs(value_range=self.value_range, mask_fill=self.mask_fill)

    def build(self) -> "Augmentation | None":
        """The changes, to be called with images [samples, channels, height, width] and their draws; None: none."""
        from .augmentation import Augmentation
        from .levels import Levels
        from .mixing import Mixing
        from .policies import RAND_AUGMENT, ColourJitter
        from .torchvision_policies import torchvision_policy

        if self.changes_nothing:
            return None
        jitter = ColourJitter(self.brightness, self.contrast, self.saturation, self.hue)
        return Augmentation(
            resized_crop=self.resized_crop,
            crop_padding=self.crop_padding,
            horizontal_flip=self.horizontal_flip,
            vertical_flip=self.vertical_flip,
            rand_augment=None if self.rand_augment == "none" else RAND_AUGMENT[self.rand_augment],
            three_augment=self.three_augment,
            policy=None if self.torchvision is None else torchvision_policy(self.torchvision),
            jitter=jitter if any(jitter) else None,
            erase_size=self.erase_size,
            mixing=Mixing(self.mixup_alpha, self.cutmix_alpha) if self.mixup_alpha or self.cutmix_alpha else None,
            levels=None if self.value_range is None else Levels(*self.value_range),
            mask_fill=self.mask_fill,
        )
