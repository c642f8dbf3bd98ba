"""Codecs by name."""

from collections.abc import Callable
from functools import partial

from labwright.shards.errors import ShardError

from .arrays import NpyCodec
from .base import Codec
from .basic import BytesCodec, ClsCodec, JsonCodec, TxtCodec
from .formats import IMAGE_FORMATS
from .images import ImageCodec
from .masks import RleCodec, SegCodec
from .matlab import MatCodec
from .unsafe import PickleCodec

_MAKE: dict[str, Callable[[], Codec]] = {
    **{
        name: made
        for made in (BytesCodec, ClsCodec, JsonCodec, MatCodec, NpyCodec, RleCodec, TxtCodec)
        for name in made.names
    },
    **{name: partial(ImageCodec, name) for name in IMAGE_FORMATS},
    **{name: partial(SegCodec, name) for name in SegCodec.names},
}


def codec(name: str, *, unsafe: bool = False) -> Codec:
    """The codec called `name`: `cls`, `jpg`, `npy`.

    `unsafe=True` also gives the one that reads pickle. A ShardError lists the names if there is none called so.
    """
    if name in PickleCodec.names:
        if unsafe:
            return PickleCodec()
        raise ShardError(
            f"{name!r} is pickle, which runs programs and is no codec here; if you trust who wrote it, read it by "
            f"unsafe=True in Python, or its bytes as they are by the codec 'bytes'"
        )
    if name not in _MAKE:
        raise ShardError(f"no codec is called {name!r}; there are {', '.join(codec_names())}")
    return _MAKE[name]()


def codec_names() -> tuple[str, ...]:
    """What `codec` knows, sorted; pickle is not among them."""
    return tuple(sorted(_MAKE))


def codec_name(field: str) -> str:
    """The codec a field has unless another is said: by its last part, `left.jpg` -> `jpg`; `bytes` if that is none."""
    ending = field.rsplit(".", 1)[-1].lower()
    return ending if ending in _MAKE or ending in PickleCodec.names else "bytes"
