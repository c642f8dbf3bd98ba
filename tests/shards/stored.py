"""What is in a dataset of shards, read in two other ways than the reader's: by tarfile, and by the index."""

import tarfile
import zlib
from pathlib import Path

from labwright.shards import open_dataset, verify

Stored = dict[str, dict[str, dict[str, bytes]]]
"""Split -> key -> field -> content, in the order in which they are stored."""


def stored(path: Path) -> Stored:
    """All that is in the dataset, once `verify`, tarfile and the index agree about it."""
    damages = [damage for damage in verify(path) if not damage.is_debris]
    assert damages == []
    opened = open_dataset(path)
    found: Stored = {}
    for name in opened.splits:
        split = opened.split(name)
        shards = [shard.path.read_bytes() for shard in split.shards]
        found[name] = {}
        for record, key in zip(split.index.records, split.index.keys[range(split.num_samples)], strict=True):
            found[name][key] = {}
            for field in split.index.fields:
                offset, size, crc = record["fields"][field].tolist()
                content = shards[record["shard"]][offset : offset + size]
                assert len(content) == size and zlib.crc32(content) == crc
                found[name][key][field] = content
        assert _by_tarfile([shard.path for shard in split.shards]) == found[name]
        assert list(_by_tarfile([shard.path for shard in split.shards])) == list(found[name])
    return found


def keys(path: Path) -> dict[str, list[str]]:
    """The keys of each split."""
    return {split: list(samples) for split, samples in stored(path).items()}


def _by_tarfile(paths: list[Path]) -> dict[str, dict[str, bytes]]:
    found: dict[str, dict[str, bytes]] = {}
    for path in paths:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                file = tar.extractfile(member)
                assert file is not None
                folder, slash, name = member.name.rpartition("/")
                key, _, field = name.partition(".")
                found.setdefault(folder + slash + key, {})[field] = file.read()
    return found
