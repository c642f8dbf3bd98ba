"""What a contact sheet shows of each sample: a field, the mask over it, and the class below."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from labwright.args.errors import UserError
from labwright.args.wording import not_one_of

from .fields import Fields, class_names_of, codec_of
from .tiles import Tile, blank, mask_of, shrink, tile_of
from .values import class_text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from labwright.shards import Opened, OpenedSplit

NONE = "none"


class Choice:
    """What is drawn of each sample: a field, the mask over it, and the class below it."""

    def __init__(
        self, dataset: "Opened", split: "OpenedSplit", *, field: str | None, mask: str | None, label: str | None
    ) -> None:
        from labwright.shards.codecs import ClsCodec, ImageCodec, RleCodec, SegCodec

        self.dataset = dataset
        self.split = split
        self._fields = Fields(dataset, split)
        self.field = self._known("--field", field or self._most_telling())
        self.is_mask = self._is(self.field, SegCodec, RleCodec)
        """Whether the field itself is a mask."""
        masks = self._others(SegCodec, RleCodec) if self._is(self.field, ImageCodec) else []
        self.mask = self._chosen("--mask", mask, masks)
        if self.mask == self.field:
            raise UserError(f"--mask={mask}: that is what is shown; name a field with the classes of its pixels")
        self.label = self._chosen("--label", label, self._others(ClsCodec))
        self.class_names = class_names_of(dataset, self.field if self.is_mask else self.mask or "")
        """Of the mask."""

    def _most_telling(self) -> str:
        from labwright.shards import codecs

        pictures = (codecs.ImageCodec, codecs.SegCodec, codecs.RleCodec, codecs.NpyCodec, codecs.MatCodec)
        kinds = (*pictures, codecs.TxtCodec, codecs.JsonCodec, codecs.ClsCodec)
        fields = self.split.index.fields
        return next((field for kind in kinds for field in fields if self._is(field, kind)), fields[0])

    def _is(self, field: str, *kinds: type) -> bool:
        return isinstance(codec_of(self.dataset, field), kinds)

    def _others(self, *kinds: type) -> list[str]:
        return [field for field in self.split.index.fields if field != self.field and self._is(field, *kinds)]

    def _chosen(self, flag: str, named: str | None, usual: Sequence[str]) -> str | None:
        if named is None:
            return usual[0] if usual else None
        return None if named == NONE else self._known(flag, named)

    def _known(self, flag: str, name: str) -> str:
        if name not in self.split.index.fields:
            raise UserError(f"{flag}: {not_one_of(name, self.split.index.fields)}")
        return name

    def tile(self, position: int, longest: int) -> Tile:
        """The tile of a sample, no more pixels along a side than `longest`; if it is damaged, it says how."""
        from labwright.shards import ShardError

        try:
            tile = self._whole_tile(position)
        except ShardError as error:
            tile = Tile(text=error.what, problem=str(error))
        tile.note = self.split.index.keys[position]
        shrink(tile, longest)
        return tile

    def _whole_tile(self, position: int) -> Tile:
        if not self._fields.has(position, self.field):
            tile = Tile(text=f"no {self.field}")
        elif self.is_mask:
            mask = self._mask(position, self.field)
            tile = Tile(pixels=blank(mask), mask=mask)
        else:
            tile = tile_of(self._fields.decode(position, self.field), class_names_of(self.dataset, self.field))
        if self.mask is not None and tile.shape is not None and self._fields.has(position, self.mask):
            tile.mask = self._mask(position, self.mask)
        if self.label is not None and self._fields.has(position, self.label):
            tile.label = class_text(self._fields.decode(position, self.label), class_names_of(self.dataset, self.label))
        return tile

    def _mask(self, position: int, field: str) -> "NDArray[np.int64]":
        from labwright.shards import ShardError

        try:
            return mask_of(self._fields.decode(position, field))
        except ShardError:
            raise
        except ValueError as error:
            raise ShardError(str(error), key=self.split.index.keys[position], field=field) from None
