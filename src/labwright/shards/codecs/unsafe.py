"""Pickle, read only: it runs whatever program its writer put into it."""

import pickle
from typing import Any

from .base import Codec, CodecError


class PickleCodec(Codec):
    """Reads pickled objects, of writers that are trusted: the bytes are a program, and nothing here makes it safe."""

    names = ("pkl", "pickle", "pyd")

    def encode(self, value: Any) -> bytes:
        raise CodecError("pickle is not written here; choose npy, json or txt")

    def decode(self, data: bytes | memoryview) -> Any:
        try:
            return pickle.loads(data)
        except Exception as error:  # unpickling raises what the program in it raises
            raise CodecError(f"cannot be unpickled: {type(error).__name__}: {error}") from error
