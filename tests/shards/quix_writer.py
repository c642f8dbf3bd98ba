"""Directories as quix's writer leaves them: tar files by Python's `tarfile`, `config.json`, an index as JSON."""

import io
import json
import tarfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Samples = Sequence[tuple[str, Mapping[str, bytes]]]


def write_quix(
    directory: Path, folds: Mapping[str, Samples], *, shard_samples: int = 4, metadata: Mapping[str, Any] | None = None
) -> Path:
    """Samples are a key and the bytes of each field. Like quix: at least one shard a fold, which may be empty."""
    directory.mkdir(parents=True)
    config: dict[str, Any] = {"metadata": dict(metadata or {})}
    extensions: dict[str, None] = {}
    for fold, samples in folds.items():
        index: dict[str, dict[str, dict[str, int]]] = {}
        num_shards = max(1, -(-len(samples) // shard_samples))
        for number in range(num_shards):
            name = f"{fold}_{number:04d}.tar"
            index[name] = _write_shard(directory / name, samples[number * shard_samples : (number + 1) * shard_samples])
            extensions |= dict.fromkeys(field.removeprefix(".") for field in index[name])
        config[fold] = f"/{fold}_{{0000..{num_shards - 1:04d}}}.tar"
        config["metadata"][f"num_{fold}"] = len(samples)
        (directory / f"{fold}.idx.json").write_text(json.dumps(index))
    config["extensions"] = list(extensions)
    (directory / "config.json").write_text(json.dumps(config))
    return directory


def _write_shard(path: Path, samples: Samples) -> dict[str, dict[str, int]]:
    index: dict[str, dict[str, int]] = {}
    with path.open("wb") as file, tarfile.open(fileobj=file, mode="w") as tar:
        for key, fields in samples:
            for field, data in fields.items():
                member = tarfile.TarInfo(f"{key}.{field}")
                member.size, member.mtime, member.uname, member.gname = len(data), int(time.time()), "me", "us"
                index.setdefault(f".{field}", {})[key] = file.tell()
                tar.addfile(member, io.BytesIO(data))
    return index
