"""Which fields of a dataset are read, under which names, and by which codecs. No torch."""

from collections.abc import Mapping, Sequence

from labwright.args.wording import not_one_of

from .codecs.base import Codec, checked_codec
from .codecs.basic import BytesCodec
from .codecs.named import codec, codec_name
from .errors import ShardError
from .opened import Opened

Fields = Sequence[str] | Mapping[str, str] | None
"""Fields by name, or by the name they get: `["jpg", "cls"]`, `{"input": "jpg", "target": "cls"}`; None: all."""
PROVENANCE = ("index", "source", "name")


def chosen_fields(opened: Opened, fields: Fields, stored: Sequence[str]) -> dict[str, str]:
    """The fields to read, by the name each has in a sample; a ShardError names one that is not there."""
    if isinstance(fields, str):
        raise ShardError(f"fields is a list of fields, or a dict of them by name, not {fields!r}; write [{fields!r}]")
    if isinstance(fields, Mapping):
        chosen = dict(fields)
    else:
        chosen = {field: field for field in (stored if fields is None else fields)}
    if not chosen:
        raise ShardError(f"no fields are chosen; {opened.directory} has {', '.join(stored) or 'none'}")
    for name, field in chosen.items():
        if field not in stored:
            raise ShardError(f"{opened.directory} has no such field: {not_one_of(str(field), stored)}")
        if name in PROVENANCE:
            raise ShardError(
                f"a field cannot be called {name!r}, which says where a sample is from; give it another name: "
                f"fields={{'my_{name}': {field!r}}}"
            )
    return chosen


def chosen_codecs(
    opened: Opened, fields: Mapping[str, str], codecs: Mapping[str, Codec | str], *, raw: bool, unsafe: bool
) -> dict[str, Codec]:
    """The codec of each field that is read; a ShardError says which field has none."""
    for field in codecs:
        if field not in fields.values():
            raise ShardError(f"codecs: no such field is read: {not_one_of(field, sorted(set(fields.values())))}")
    return {field: _codec(opened, field, codecs, raw=raw, unsafe=unsafe) for field in fields.values()}


def _codec(opened: Opened, field: str, codecs: Mapping[str, Codec | str], *, raw: bool, unsafe: bool) -> Codec:
    if raw and field not in codecs:
        return BytesCodec()
    known = opened.codecs.get(field, field) if opened.kind == "labwright" else codec_name(field)
    chosen = codecs.get(field, known)
    if not isinstance(chosen, str):
        return checked_codec(chosen, field)
    try:
        return codec(chosen, unsafe=unsafe)
    except ShardError as error:
        raise ShardError(
            f"the field {field!r} of {opened.directory} cannot be decoded: {error}; leave the field out, or read it "
            f"in Python, as by ShardDataset(..., codecs={{{field!r}: a codec of your own, or 'bytes'}})"
        ) from None
