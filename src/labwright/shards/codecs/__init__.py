"""Codecs: values to bytes and back, by the name of a field. `codec("npy").decode(data)`."""

from typing import TYPE_CHECKING

from labwright.lazy import lazy_names

if TYPE_CHECKING:
    from .arrays import Layout as Layout
    from .arrays import NpyCodec as NpyCodec
    from .base import Codec as Codec
    from .base import CodecError as CodecError
    from .basic import BytesCodec as BytesCodec
    from .basic import ClsCodec as ClsCodec
    from .basic import JsonCodec as JsonCodec
    from .basic import TxtCodec as TxtCodec
    from .images import ImageCodec as ImageCodec
    from .masks import RleCodec as RleCodec
    from .masks import SegCodec as SegCodec
    from .matlab import MatCodec as MatCodec
    from .named import codec as codec
    from .named import codec_name as codec_name
    from .named import codec_names as codec_names
    from .unsafe import PickleCodec as PickleCodec
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        {
            "BytesCodec": ".basic",
            "ClsCodec": ".basic",
            "Codec": ".base",
            "CodecError": ".base",
            "ImageCodec": ".images",
            "JsonCodec": ".basic",
            "Layout": ".arrays",
            "MatCodec": ".matlab",
            "NpyCodec": ".arrays",
            "PickleCodec": ".unsafe",
            "RleCodec": ".masks",
            "SegCodec": ".masks",
            "TxtCodec": ".basic",
            "codec": ".named",
            "codec_name": ".named",
            "codec_names": ".named",
        },
    )
