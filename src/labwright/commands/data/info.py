"""Say what a dataset holds: its kind, splits, fields with their codecs and sizes, metadata and checksums."""

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Any

from labwright.args.wording import one_line, spelled
from labwright.runs.sizes import bytes_text, count_text

from ..base import Project
from ..table import print_table
from .base import PATH_HELP, chosen_splits, opened, print_facts, print_json

if TYPE_CHECKING:
    from labwright.shards import Opened

_LONGEST_METADATA = 300
_KINDS = {"labwright": "labwright shards", "quix": "quix shards", "webdataset": "WebDataset shards"}


def add_flags(parser: ArgumentParser) -> None:
    parser.add_argument("path", metavar="PATH", help=PATH_HELP)
    parser.add_argument("--split", metavar="NAME", help="only this split (default: all)")
    parser.add_argument("--json", action="store_true", help="everything as JSON")


def run(given: Namespace, project: Project) -> None:
    """Print it; the sizes come from the index, no shard is read."""
    facts = {"path": given.path, **facts_of(opened(given.path), given.split)}
    print_json(facts) if given.json else _print(facts)


def facts_of(dataset: "Opened", split: str | None = None) -> dict[str, Any]:
    """Everything that is known of a dataset, or one split of it, without reading its shards, as JSON-like values."""
    names = chosen_splits(dataset, split)
    splits = {name: _split_facts(dataset, name) for name in names}
    return {
        "kind": dataset.kind,
        "fingerprint": dataset.fingerprint,
        "num_samples": sum(facts["num_samples"] for facts in splits.values()),
        "num_bytes": sum(facts["num_bytes"] for facts in splits.values()),
        "num_shards": sum(facts["num_shards"] for facts in splits.values()),
        "has_checksums": all(facts["has_checksums"] for facts in splits.values()),
        "mean_sample_bytes": _mean([facts["content_bytes"] for facts in splits.values()], splits),
        "splits": splits,
        "fields": {field: _field_facts(dataset, names, field) for field in _fields(dataset, names)},
        "metadata": dataset.metadata,
    }


def _split_facts(dataset: "Opened", name: str) -> dict[str, Any]:
    split = dataset.split(name)
    places = split.index.records["fields"]
    return {
        "num_samples": split.num_samples,
        "num_shards": len(split.shards),
        "num_bytes": sum(shard.num_bytes for shard in split.shards),
        "content_bytes": sum(int(places[field]["size"].sum()) for field in split.index.fields),
        "has_checksums": split.has_checksums,
    }


def _mean(contents: list[int], splits: dict[str, Any]) -> float | None:
    num_samples = sum(facts["num_samples"] for facts in splits.values())
    return sum(contents) / num_samples if num_samples else None


def _fields(dataset: "Opened", names: tuple[str, ...]) -> list[str]:
    return list(dict.fromkeys(field for name in names for field in dataset.split(name).index.fields))


def _field_facts(dataset: "Opened", names: tuple[str, ...], field: str) -> dict[str, Any]:
    """Codec and sizes; only samples that have the field count."""
    import numpy as np

    indexes = [index for name in names if field in (index := dataset.split(name).index).fields]
    places = [index.records["fields"][field] for index in indexes]
    sizes = np.concatenate([each["size"][each["offset"] > 0] for each in places])
    amounts = (sizes.min(), np.median(sizes), sizes.max()) if len(sizes) else (None,) * 3
    least, median, most = (None if amount is None else int(amount) for amount in amounts)
    return {
        "codec": dataset.codecs.get(field),
        "num_samples": len(sizes),
        "num_bytes": int(sizes.sum()),
        "min_bytes": least,
        "median_bytes": median,
        "max_bytes": most,
    }


def _print(facts: dict[str, Any]) -> None:
    mean = facts["mean_sample_bytes"]
    checksums = "CRC-32 of each field" + ", SHA-256 of each shard" * (facts["kind"] == "labwright")
    amount = f"{count_text(facts['num_samples'], 'sample')} in {count_text(facts['num_shards'], 'shard')}"
    print(f"{facts['path']}: {_KINDS[facts['kind']]}, {amount}, {bytes_text(facts['num_bytes'])}")
    print_facts(
        {
            "fingerprint": facts["fingerprint"],
            "checksums": checksums if facts["has_checksums"] else "none; data convert adds them",
            "mean sample": "" if mean is None else bytes_text(mean),
        }
    )
    print("\nsplits")
    rows = [
        [name, f"{each['num_samples']:,}", f"{each['num_shards']:,}", bytes_text(each["num_bytes"])]
        for name, each in facts["splits"].items()
    ]
    print_table(["split", "samples", "shards", "size"], rows)
    print("\nfields")
    print_table(
        ["field", "codec", "samples", "smallest", "median", "largest", "together"],
        [[name, *_field_cells(each)] for name, each in facts["fields"].items()],
    )
    if facts["metadata"]:
        print("\nmetadata")
        print_facts({name: one_line(spelled(each), _LONGEST_METADATA) for name, each in facts["metadata"].items()})


def _field_cells(facts: dict[str, Any]) -> list[str]:
    sizes = [facts["min_bytes"], facts["median_bytes"], facts["max_bytes"]]
    return [
        facts["codec"] or "bytes",
        f"{facts['num_samples']:,}",
        *("" if size is None else bytes_text(size) for size in sizes),
        bytes_text(facts["num_bytes"]),
    ]
