"""quix: `config.json` names the tar files of each fold and the fields, `<fold>.idx.json` the samples. No torch."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .disk import read_bounded
from .errors import ShardError
from .listing import Listing, SplitName
from .patterns import MAX_NAMES, expand
from .scan import Scanned
from .webdataset import webdataset_name

CONFIG = "config.json"
_MAX_CONFIG_BYTES = 16 << 20
_MAX_INDEX_BYTES = 1 << 30


def quix_listing(directory: Path) -> Listing | None:
    """The folds that `config.json` in `directory` describes; None: there is none, or it is of another program."""
    path = directory / CONFIG
    if not path.is_file():
        return None
    config = _read_json(path, _MAX_CONFIG_BYTES)
    if not isinstance(config, dict) or not isinstance(config.get("extensions"), list):
        return None
    folds = {name: value for name, value in config.items() if isinstance(value, str) and value.endswith(".tar")}
    if not folds:
        return None
    splits: dict[str, tuple[str, ...]] = {}
    for name, pattern in folds.items():
        splits[name] = tuple(_shard(path, each) for each in expand(pattern))
        if sum(map(len, splits.values())) > MAX_NAMES:
            raise ShardError(f"it names more than {MAX_NAMES:,} tar files", shard=path.name)
    fields = [field for each in config["extensions"] if (field := str(each).removeprefix("."))]
    metadata = config.get("metadata")
    return Listing("quix", directory, splits, _namer(fields), metadata if isinstance(metadata, dict) else {})


def check_quix_index(directory: Path, split: str, scanned: Scanned) -> None:
    """A ShardError if `<split>.idx.json`, where there is one, lists a member that its shard does not have.

    quix loses such samples without a word; they are what a second writer leaves that began again at shard 0.
    """
    path = directory / f"{split}.idx.json"
    if not path.is_file():
        return
    listed = _read_json(path, _MAX_INDEX_BYTES)
    if not isinstance(listed, dict):
        raise ShardError("it is not an index of quix", shard=path.name)
    start = 0
    for shard in scanned.shards:
        end = start + shard.num_samples
        places = scanned.records["fields"][start:end]
        prefix = len(shard.name.removesuffix(".tar")) + 1 if scanned.has_prefixes else 0
        keys = [key[prefix:] for key in scanned.keys[start:end]]
        for field, samples in _table(listed.get(shard.name, {}), path).items():
            field = field.removeprefix(".")
            there = places[field]["offset"] > 0 if field in scanned.fields else ()
            present = {key for key, is_there in zip(keys, there, strict=False) if is_there}
            missing = [key for key in _table(samples, path) if key not in present]
            if missing:
                what = f"{path.name} lists it, the shard has no such member ({len(missing):,} are missing)"
                raise ShardError(what, shard=shard.name, key=missing[0], field=field)
        start = end


def _namer(fields: Sequence[str]) -> SplitName:
    """Fields end a name here, so that keys may have dots; a name with none of them is cut as WebDataset does."""
    endings = sorted((f".{field}" for field in fields), key=len, reverse=True)

    def cut(name: str) -> tuple[str, str] | None:
        for ending in endings:
            if name.endswith(ending) and len(name) > len(ending):
                return name.removesuffix(ending), ending[1:]
        return webdataset_name(name)

    return cut


def _shard(config: Path, name: str) -> str:
    name = name.lstrip("/")
    if ".." in name.split("/") or not name.isprintable():
        raise ShardError(f"it names the file {name!r}, outside its directory", shard=config.name)
    return name


def _table(value: Any, path: Path) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ShardError("it is not an index of quix", shard=path.name)
    return value


def _read_json(path: Path, max_bytes: int) -> Any:
    text = read_bounded(path, path.name, max_bytes)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ShardError(f"it is damaged: {error}", shard=path.name) from None
