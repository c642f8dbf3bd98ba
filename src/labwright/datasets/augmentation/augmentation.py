"""`Augmentation`: the changes that `AugmentArgs` asks for, in order."""

from collections.abc import Callable

import torch
from torch import Tensor

from labwright.args import UserError

from .boxes import random_erase
from .draws import Draws
from .geometry import random_crop, random_flip, random_resized_crop
from .levels import BYTES, Levels
from .mixing import Mixing
from .policies import ColourJitter, RandAugment, three_augment

Policy = Callable[[Tensor, Draws], Tensor]


class Augmentation:
    """Resized crop, crop, flips, policies, jitter, erasing, in this order; `mixing` is left to who has the targets.

    What happens to a sample follows from its draws alone. `levels` say what black and white are in the numbers of the
    images; bytes need none.
    """

    def __init__(
        self,
        *,
        resized_crop: tuple[float, float] | None = None,
        crop_padding: int = 0,
        horizontal_flip: bool = False,
        vertical_flip: bool = False,
        rand_augment: RandAugment | None = None,
        three_augment: bool = False,
        policy: Policy | None = None,
        jitter: ColourJitter | None = None,
        erase_size: int = 0,
        mixing: Mixing | None = None,
        levels: Levels | None = None,
        mask_fill: int = 0,
    ) -> None:
        self.resized_crop = resized_crop
        self.crop_padding = crop_padding
        self.horizontal_flip = horizontal_flip
        self.vertical_flip = vertical_flip
        self.rand_augment = rand_augment
        self.three_augment = three_augment
        self.policy = policy
        self.jitter = jitter
        self.erase_size = erase_size
        self.mixing = mixing
        self.levels = levels
        self.mask_fill = mask_fill
        """The class of the pixels that come in where a mask is moved."""

    @property
    def needs_levels(self) -> bool:
        """Whether float images can only be changed by who knows their black and white."""
        return any((self.rand_augment, self.three_augment, self.policy, self.jitter))

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """New images [samples, channels, height, width], float or uint8 as those given, which stay as they are."""
        is_float = images.is_floating_point()
        if not is_float and images.dtype != torch.uint8:
            raise UserError(f"images are changed as floats or as bytes, not as {images.dtype}")
        if not self.needs_levels and (is_float or self.resized_crop is None):
            return self._erased(self._moved(images, draws), draws)
        levels = self.levels or (Levels() if is_float else BYTES)
        changed = self._moved(levels.to_unit(images), draws, levels.fill(images))
        return self._erased(levels.from_unit(self._coloured(changed, draws, levels.fill(images)), images), draws)

    def masks(self, masks: Tensor, draws: Draws) -> Tensor:
        """Classes of pixels, whole numbers [samples, height, width], moved as `__call__` moves their images."""
        moved = self._moved(masks.unsqueeze(1), draws, self.mask_fill, nearest=True)
        if self.rand_augment is not None:
            moved = self.rand_augment.moved(moved, draws, self.mask_fill)
        return moved.squeeze(1)

    def _moved(self, images: Tensor, draws: Draws, fill: Tensor | float = 0.0, nearest: bool = False) -> Tensor:
        if self.resized_crop is not None:
            images = random_resized_crop(images, draws, self.resized_crop, nearest=nearest)
        if self.crop_padding:
            images = random_crop(images, self.crop_padding, draws, fill=fill)
        if self.horizontal_flip:
            images = random_flip(images, draws)
        if self.vertical_flip:
            images = random_flip(images, draws, vertical=True)
        return images

    def _coloured(self, images: Tensor, draws: Draws, fill: Tensor) -> Tensor:
        """Images from 0 to 1, which are overwritten."""
        if self.rand_augment is not None:
            images = self.rand_augment(images, draws, fill)
        if self.three_augment:
            images = three_augment(images, draws)
        if self.policy is not None:
            images = self.policy(images, draws)
        return images if self.jitter is None else self.jitter(images, draws)

    def _erased(self, images: Tensor, draws: Draws) -> Tensor:
        return random_erase(images, self.erase_size, draws) if self.erase_size else images
