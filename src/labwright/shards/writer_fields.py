"""What a writer may write: fields with their codecs, and metadata, checked at the door. No torch."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from labwright.args.wording import listed

from .codecs import Codec, codec, codec_name
from .codecs.base import checked_codec
from .errors import ShardError
from .manifest import FieldInfo, Manifest
from .names import MAX_FIELDS, check_field

_MAX_METADATA_BYTES = 16 << 20
"""They are read whenever the dataset is opened."""


class Fields(NamedTuple):
    """In the order of a sample's members."""

    codecs: dict[str, Codec]
    infos: dict[str, FieldInfo]
    """As the manifest says them."""


def chosen_fields(fields: Sequence[str] | None, own: Mapping[str, Codec | str], there: Manifest | None) -> Fields:
    """Of a writer that was asked for `fields` by its `own` codecs, where the dataset `there` is."""
    if there is not None:
        return _same_fields(there.fields, fields, own)
    if fields is None:
        raise ShardError('there is no dataset yet: say which fields the samples have, such as fields=["jpg", "cls"]')
    return _new_fields(fields, own)


def _new_fields(fields: Sequence[str], own: Mapping[str, Codec | str]) -> Fields:
    """Of a dataset that begins: the codecs follow from the names of the fields, unless `own` says otherwise."""
    if isinstance(fields, str):
        raise ShardError(f'fields is a list of names: ["{fields}"], not {fields!r}')
    if not 0 < len(fields) <= MAX_FIELDS:
        raise ShardError(f"a dataset has 1 to {MAX_FIELDS} fields, not {len(fields)}")
    for field in fields:
        check_field(field)
    if len({field.lower() for field in fields}) < len(fields):
        raise ShardError(f"the fields {listed(fields)} are not different, as WebDataset sees them: it knows no case")
    return _chosen({field: codec_name(field) for field in fields}, own)


def _same_fields(
    infos: Mapping[str, FieldInfo], fields: Sequence[str] | None, own: Mapping[str, Codec | str]
) -> Fields:
    """Of a dataset that has fields already; a ShardError if what is asked for differs."""
    if fields is not None and sorted(fields) != sorted(infos):
        raise ShardError(f"the dataset has the fields {listed(infos)}; write those, not {listed(fields)}")
    chosen = _chosen({field: info.codec for field, info in infos.items()}, own)
    for field, info in infos.items():
        name = chosen.infos[field].codec
        if info.codec not in (name, *chosen.codecs[field].names):
            raise ShardError(f"the dataset has {field!r} by the codec {info.codec!r}, not by {name!r}")
    return Fields(chosen.codecs, dict(infos))


def _chosen(names: Mapping[str, str], own: Mapping[str, Codec | str]) -> Fields:
    """Of the fields `names`, by the codecs called so, or by their `own`."""
    if unknown := [field for field in own if field not in names]:
        raise ShardError(f"`codecs` names {listed(unknown)}; the fields are {listed(names)}")
    codecs: dict[str, Codec] = {}
    infos: dict[str, FieldInfo] = {}
    for field, name in names.items():
        chosen = own.get(field, name)
        codecs[field] = codec(chosen) if isinstance(chosen, str) else chosen
        infos[field] = FieldInfo(codec=chosen if isinstance(chosen, str) else _own_name(field, chosen))
    return Fields(codecs, infos)


def plain_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What JSON keeps of it; a ShardError if it cannot."""
    try:
        text = json.dumps(dict(metadata), allow_nan=False, ensure_ascii=False, indent=1).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ShardError(f"metadata is no JSON: {error}") from None
    if len(text) > _MAX_METADATA_BYTES:
        raise ShardError(f"metadata has {len(text):,} bytes; up to {_MAX_METADATA_BYTES:,} are kept with a dataset")
    return json.loads(text)


def _own_name(field: str, chosen: Codec) -> str:
    if not checked_codec(chosen, field).names:
        raise ShardError(f"the codec of {field!r} needs `names`, of which the dataset stores the first")
    return chosen.names[0]
