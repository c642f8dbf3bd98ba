"""What reading and writing shards costs, beside other ways to keep samples: samples per second of CPU time.

    python benchmarks/shards.py [--rounds=5] [--samples=20000] [--tables=b,a,raw,c,writing] [--folder=DIR] [--keep]
                                [--json=FILE]

Three sets are made first, in `--folder` (default: a temporary one): A, `--samples` JPEGs of 10 to 20 KB with a class;
B, as many float32 arrays of 4 KB; C, a tenth as many JPEGs of 256 pixels with 16-bit masks. Each is kept as shards, and
for others to read as LMDB, as files in a folder, and as tar files in the manner of quix, which opens the tar for each
sample and keeps its index as JSON. All rows of a table read the same samples in the same random order, in batches of
256 (B, raw A) or 64 (decoded), in this process, with everything in the page cache; they take turns in shuffled order,
round by round. The tables have medians, and medians of the ratios to the first row in the same round. A row whose
package is missing (`pip install -e ".[bench]"`) is left out. Exits 1 where a limit is passed.
"""

import argparse
import importlib.util
import io
import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from labwright.shards import ShardDataset, ShardWriter

MASK_CLASSES = 1000
FULL = 20_000
Epoch = Callable[[np.ndarray], None]
"""Reads the samples at these positions, in this order."""


@dataclass(frozen=True)
class Limit:
    """`row` handles at least `times` as many samples per CPU second as `other`."""

    row: str
    other: str
    times: float


@dataclass(frozen=True)
class Table:
    title: str
    rows: dict[str, Epoch]
    limits: tuple[Limit, ...] = ()


# -- the sets


def picture(rng: np.random.Generator, size: int) -> np.ndarray:
    """A colourful cloud with some grain, uint8 [size, size, 3]."""
    coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).resize(
        (size, size), Image.Resampling.BICUBIC
    )
    grain = rng.integers(-12, 13, (size, size, 3), dtype=np.int16)
    return (np.asarray(coarse, dtype=np.int16) + grain).clip(0, 255).astype(np.uint8)


def jpeg(pixels: np.ndarray, quality: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "jpeg", quality=quality)
    return buffer.getvalue()


def mask(rng: np.random.Generator, size: int) -> np.ndarray:
    """Regions of one class each, uint16 [size, size]."""
    return rng.integers(0, MASK_CLASSES, (8, 8), dtype=np.uint16).repeat(size // 8, 0).repeat(size // 8, 1)


def mask_png(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "png")
    return buffer.getvalue()


class Set:
    """One set in memory, and where it lies on the disk in each manner."""

    def __init__(self, folder: Path, fields: list[str], samples: list[dict[str, Any]]) -> None:
        self.folder, self.fields, self.samples = folder, fields, samples
        folder.mkdir(parents=True)
        with ShardWriter(self.shards, fields=fields, progress=False) as writer:
            for number, sample in enumerate(samples):
                writer.write("train", f"{number:08d}", sample)

    @property
    def shards(self) -> Path:
        return self.folder / "shards"

    def encoded(self, number: int) -> dict[str, bytes]:
        """A sample as it is stored by the others: arrays without a header, a class in text."""
        return {field: _as_bytes(value) for field, value in self.samples[number].items()}

    def write_files(self) -> list[Path]:
        root = self.folder / "files"
        root.mkdir()
        paths = [root / f"{number:08d}" for number in range(len(self.samples))]
        for number, path in enumerate(paths):
            for field, content in self.encoded(number).items():
                path.with_name(f"{path.name}.{field}").write_bytes(content)
        return paths

    def write_lmdb(self) -> Any:
        import lmdb

        environment = lmdb.open(str(self.folder / "lmdb"), map_size=1 << 34, readahead=False, lock=False)
        with environment.begin(write=True) as transaction:
            for number in range(len(self.samples)):
                for field, content in self.encoded(number).items():
                    transaction.put(f"{number:08d}.{field}".encode(), content)
        return environment

    def write_quix(self) -> tuple[list[Path], list[dict[str, int]]]:
        """Tar files as tarfile makes them, and where each member's header begins; the index as JSON beside them."""
        path, index = self.folder / "quix-000000.tar", []
        if path.exists():
            return [path], json.loads((self.folder / "quix.idx.json").read_text())[path.name]
        with tarfile.open(path, "w") as tar:
            for number in range(len(self.samples)):
                places = {}
                for field, content in self.encoded(number).items():
                    info = tarfile.TarInfo(f"{number:08d}.{field}")
                    info.size, places[field] = len(content), tar.offset
                    tar.addfile(info, io.BytesIO(content))
                index.append(places)
        (self.folder / "quix.idx.json").write_text(json.dumps({path.name: index}))
        return [path], json.loads((self.folder / "quix.idx.json").read_text())[path.name]


def _as_bytes(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    return value.tobytes() if isinstance(value, np.ndarray) else str(value).encode()


def make_sets(folder: Path, num_samples: int) -> tuple[Set, Set, Set]:
    rng = np.random.default_rng(0)
    _say(f"making {num_samples:,} JPEGs, as many arrays, and {num_samples // 10:,} JPEGs with masks")
    pictures = [
        {"jpg": jpeg(picture(rng, 224), int(rng.integers(86, 92))), "cls": int(rng.integers(10))}
        for _ in range(num_samples)
    ]
    arrays = [{"npy": rng.random(1024, dtype=np.float32)} for _ in range(num_samples)]
    masked = [{"jpg": jpeg(picture(rng, 256), 85), "seg16": mask(rng, 256)} for _ in range(num_samples // 10)]
    sizes = [len(sample["jpg"]) for sample in pictures]
    assert min(sizes) >= 10_000 and max(sizes) <= 20_000
    _say(f"the JPEGs of A have {min(sizes):,} to {max(sizes):,} bytes")
    return (
        Set(folder / "a", ["jpg", "cls"], pictures),
        Set(folder / "b", ["npy"], arrays),
        Set(folder / "c", ["jpg", "seg16"], masked),
    )


# -- reading


def batches(order: np.ndarray, size: int) -> Iterator[list[int]]:
    for start in range(0, len(order), size):
        yield order[start : start + size].tolist()


def through(dataset: ShardDataset, batch_size: int) -> Epoch:
    def epoch(order: np.ndarray) -> None:
        for positions in batches(order, batch_size):
            dataset.__getitems__(positions)

    return epoch


def quix_member(path: Path, place: int) -> bytes:
    """As quix reads one: the tar is opened, its member's header parsed, its content copied out."""
    with tarfile.open(path, "r") as tar:
        assert tar.fileobj is not None
        tar.fileobj.seek(place)
        content = tar.extractfile(tarfile.TarInfo.fromtarfile(tar))
        assert content is not None
        return content.read()


def read_arrays(b: Set) -> Table:
    stored = np.stack([sample["npy"] for sample in b.samples])
    dataset = ShardDataset(b.shards)
    (path,), index = b.write_quix()

    def memcpy(order: np.ndarray) -> None:
        for start in range(0, len(order), 256):
            stored[order[start : start + 256]]

    def memcpy_in_order(order: np.ndarray) -> None:
        for start in range(0, len(order), 256):
            stored[start : start + 256].copy()

    def quix(order: np.ndarray) -> None:
        for positions in batches(order, 256):
            rows = [np.frombuffer(quix_member(path, index[each]["npy"]), np.float32) for each in positions]
            torch.from_numpy(np.stack(rows))

    rows: dict[str, Epoch] = {
        "memcpy of the same bytes": memcpy,
        "memcpy of as many bytes in a row": memcpy_in_order,
        "labwright": through(dataset, 256),
        'labwright, `verify="read"`': through(ShardDataset(b.shards, verify="read"), 256),
        "quix's way": quix,
    }
    if _has("lmdb"):
        environment = b.write_lmdb()

        def lmdb_rows(order: np.ndarray) -> None:
            with environment.begin(buffers=True) as transaction:
                for positions in batches(order, 256):
                    found = [transaction.get(f"{each:08d}.npy".encode()) for each in positions]
                    torch.from_numpy(np.stack([np.frombuffer(each, np.float32) for each in found]))

        rows["LMDB"] = lmdb_rows
    limits = (
        Limit("labwright", "quix's way", 100),
        Limit("labwright", "LMDB", 2),
        Limit("labwright", "memcpy of the same bytes", 0.55),
    )
    return Table("B: float32 arrays of 4 KB, batches of 256", rows, limits)


class PictureFiles(Dataset[tuple[torch.Tensor, int]]):
    """What people write: a file a sample, opened with PIL."""

    def __init__(self, paths: list[Path], order: np.ndarray) -> None:
        self.paths, self.order = paths, order

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, number: int) -> tuple[torch.Tensor, int]:
        path = self.paths[self.order[number]]
        pixels = np.asarray(Image.open(path.with_name(f"{path.name}.jpg")))
        return torch.from_numpy(pixels.copy()), int(path.with_name(f"{path.name}.cls").read_text())


def read_pictures(a: Set) -> Table:
    paths, ((path,), index) = a.write_files(), a.write_quix()
    encoded = [sample["jpg"] for sample in a.samples]
    decode = _decoder()

    def decode_only(order: np.ndarray) -> None:
        for each in order.tolist():
            decode(encoded[each])

    def decode_into_batches(order: np.ndarray) -> None:
        for positions in batches(order, 64):
            pixels = np.empty((len(positions), 224, 224, 3), np.uint8)
            for row, each in enumerate(positions):
                pixels[row] = decode(encoded[each])

    def files(order: np.ndarray) -> None:
        for _ in DataLoader(PictureFiles(paths, order), batch_size=64):
            pass

    def quix(order: np.ndarray) -> None:
        for positions in batches(order, 64):
            for each in positions:
                np.asarray(Image.open(io.BytesIO(quix_member(path, index[each]["jpg"]))))
                int(quix_member(path, index[each]["cls"]))

    rows: dict[str, Epoch] = {
        "the decoder alone, into batches": decode_into_batches,
        "the decoder alone, into the same memory again": decode_only,
        "labwright": through(ShardDataset(a.shards), 64),
        "labwright, `num_threads=1`": through(ShardDataset(a.shards, num_threads=1), 64),
        'labwright, `verify="read"`': through(ShardDataset(a.shards, verify="read"), 64),
        "files, PIL, DataLoader": files,
        "quix's way": quix,
    }
    limits = (
        Limit("labwright, `num_threads=1`", "the decoder alone, into batches", 0.9),
        Limit("labwright", "files, PIL, DataLoader", 2),
    )
    return Table("A decoded: JPEGs with a class, batches of 64", rows, limits)


def read_raw(a: Set) -> Table:
    dataset = ShardDataset(a.shards, fields=["jpg"], raw=True)
    (path,), places = a.write_quix()

    def quix(order: np.ndarray) -> None:
        for positions in batches(order, 256):
            [quix_member(path, places[each]["jpg"]) for each in positions]

    rows: dict[str, Epoch] = {"labwright": through(dataset, 256), "quix's way": quix}
    if _has("lmdb"):
        environment = a.write_lmdb()

        def lmdb_values(order: np.ndarray) -> None:
            with environment.begin() as transaction:
                for positions in batches(order, 256):
                    [transaction.get(f"{each:08d}.jpg".encode()) for each in positions]

        rows["LMDB"] = lmdb_values
    return Table("A raw: the bytes of the JPEGs, batches of 256", rows, (Limit("labwright", "LMDB", 0.95),))


def read_masks(c: Set) -> Table:
    paths = [c.folder / "files" / f"{number:08d}" for number in range(len(c.samples))]
    (c.folder / "files").mkdir()
    for path, sample in zip(paths, c.samples, strict=True):
        path.with_name(f"{path.name}.jpg").write_bytes(sample["jpg"])
        path.with_name(f"{path.name}.png").write_bytes(mask_png(sample["seg16"]))

    def files(order: np.ndarray) -> None:
        for positions in batches(order, 64):
            for each in positions:
                np.array(Image.open(f"{paths[each]}.jpg"))
                np.array(Image.open(f"{paths[each]}.png"))

    rows: dict[str, Epoch] = {"labwright": through(ShardDataset(c.shards), 64), "files, PIL": files}
    return Table("C decoded: JPEGs of 256 pixels with 16-bit masks, batches of 64", rows)


# -- writing


def write_pictures(a: Set) -> Table:
    """Rows that write the first samples of the order, and count those."""
    folder = a.folder / "written"

    def emptied() -> Path:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder

    def ours(order: np.ndarray) -> None:
        with ShardWriter(emptied() / "shards", fields=a.fields, progress=False) as writer:
            for number in order.tolist():
                writer.write("train", f"{number:08d}", a.samples[number])

    def plain(order: np.ndarray, encode: Callable[[bytes], bytes] = lambda content: content) -> None:
        path, index = emptied() / "quix-000000.tar", {}
        with tarfile.open(path, "w") as tar:
            for number in order.tolist():
                for field, value in a.samples[number].items():
                    content = encode(value) if field == "jpg" else _as_bytes(value)
                    info = tarfile.TarInfo(f"{number:08d}.{field}")
                    info.size, index[info.name] = len(content), tar.offset
                    tar.addfile(info, io.BytesIO(content))
        (folder / "quix.idx.json").write_text(json.dumps(index))

    def quix(order: np.ndarray) -> None:
        plain(order, lambda content: jpeg(np.asarray(Image.open(io.BytesIO(content))), 75))

    rows: dict[str, Epoch] = {
        "labwright: SHA-256, CRC-32, fsync": ours,
        "quix's writer: decodes and encodes, no checksums, no fsync": quix,
        "tarfile with a JSON index: no checksums, no fsync": plain,
    }
    limit = Limit("labwright: SHA-256, CRC-32, fsync", "quix's writer: decodes and encodes, no checksums, no fsync", 3)
    return Table("Writing A", rows, (limit,))


# -- opening

_OPENING = """
import resource, sys, time
from labwright.shards import open_dataset
open_dataset(sys.argv[2]).split("train").index.keys[0]
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()
before, started = resident(), time.process_time()
split = open_dataset(sys.argv[1]).split("train")
first, last = split.index.keys[0], split.index.keys[split.num_samples - 1]
seconds = time.process_time() - started
print(split.num_samples, seconds * 1e3, (resident() - before) / 1e6)
"""


def opening(folder: Path, num_samples: int) -> tuple[str, list[str]]:
    """What it takes to open that many samples and ask for two keys; in processes of their own."""
    for name, count in (("few", 10), ("many", num_samples)):
        with ShardWriter(folder / name, fields=["cls"], progress=False) as writer:
            for number in range(count):
                writer.write("train", f"{number:08d}", {"cls": b"1"})
    command = [sys.executable, "-c", _OPENING, str(folder / "many"), str(folder / "few")]
    found = [subprocess.run(command, check=True, capture_output=True, text=True).stdout.split() for _ in range(7)]
    milliseconds, megabytes = (statistics.median(float(row[column]) for row in found) for column in (1, 2))
    cost = f"{milliseconds:.2f} ms of CPU time, {megabytes:.2f} MB of memory (limits: 5, 5)"
    text = f"Opening {num_samples:,} samples: {cost}"
    failures = [f"opening takes {milliseconds:.2f} ms"] if milliseconds > 5 else []
    return text, failures + ([f"opening takes {megabytes:.2f} MB"] if megabytes > 5 else [])


# -- measuring


def measure(table: Table, num_samples: int, rounds: int) -> dict[str, list[float]]:
    """Samples per CPU second of each row, by round."""
    rates: dict[str, list[float]] = {row: [] for row in table.rows}
    draw = random.Random(0)
    for number in range(rounds + 1):
        order = np.random.default_rng(number).permutation(num_samples)
        for row in draw.sample(list(table.rows), len(table.rows)):
            part = order if number else order[: min(len(order), 1000)]  # the first round warms up
            if "quix" in row:
                part = part[: max(1, len(part) // 5)]  # a fifth says as much
            started = time.process_time()
            table.rows[row](part)
            rate = len(part) / (time.process_time() - started)
            if number:
                rates[row].append(rate)
                _say(f"round {number}/{rounds} {row}: {rate:,.0f} a CPU second")
    return rates


def shown(table: Table, rates: dict[str, list[float]]) -> str:
    base = next(iter(rates))
    lines = [f"| {table.title} | samples a CPU second | times {base} |", "|---|---:|---:|"]
    for row, values in rates.items():
        ratio = _ratio(rates, row, base)
        lines.append(f"| {row} | {statistics.median(values):,.0f} | {ratio:.3g} |")
    return "\n".join(lines)


def _ratio(rates: dict[str, list[float]], row: str, base: str) -> float:
    return statistics.median(mine / other for mine, other in zip(rates[row], rates[base], strict=True))


def failures_of(table: Table, rates: dict[str, list[float]]) -> list[str]:
    there = [limit for limit in table.limits if limit.row in rates and limit.other in rates]
    found = [(limit, _ratio(rates, limit.row, limit.other)) for limit in there]
    return [
        f"{table.title}: {limit.row} reaches {ratio:.2f} of {limit.other}, and has to reach {limit.times:g}"
        for limit, ratio in found
        if ratio < limit.times
    ]


def main() -> int:
    given = _given()
    torch.set_num_threads(1)
    folder = Path(given.folder or tempfile.mkdtemp(prefix="shards-"))
    try:
        a, b, c = make_sets(folder, given.samples)
        sets = {"b": (read_arrays, b), "a": (read_pictures, a), "raw": (read_raw, a)}
        sets |= {"c": (read_masks, c), "writing": (write_pictures, a)}
        tables, failures, report = [], [], {}
        for make, data in [sets[name] for name in given.tables]:
            table = make(data)
            rates = measure(table, len(data.samples), given.rounds)
            tables.append(shown(table, rates))
            failures += failures_of(table, rates)
            report[table.title] = rates
        opened, slow = opening(folder / "opening", 1_000_000)
    finally:
        if not given.keep:
            shutil.rmtree(folder, ignore_errors=True)
    print("\n\n".join([_setting(given), *tables, opened]))
    if given.json:
        given.json.write_text(json.dumps(report))
    for failure in failures + slow:
        _say(f"not as promised: {failure}")
    if given.samples < FULL:
        _say(f"the limits are for {FULL:,} samples: fewer fit into a processor's cache")
    return int(bool(failures + slow))


def _decoder() -> Callable[[bytes], Any]:
    """What the shards are decoded with too."""
    if _has("simplejpeg"):
        import simplejpeg

        return lambda content: simplejpeg.decode_jpeg(content, fastdct=False, fastupsample=False)
    return lambda content: np.asarray(Image.open(io.BytesIO(content)))


def _has(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _setting(given: argparse.Namespace) -> str:
    packages = [
        name for name in ("torch", "numpy", "pillow", "simplejpeg", "lmdb") if _has({"pillow": "PIL"}.get(name, name))
    ]
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    return (
        f"    python benchmarks/shards.py {' '.join(sys.argv[1:])}".rstrip()
        + f"\n\n{given.samples:,} samples, {given.rounds} rounds; {os.cpu_count()} cores, {platform.system()}, "
        f"Python {platform.python_version()}; {versions}"
    )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _given() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--samples", type=int, default=FULL)
    parser.add_argument("--folder", help="where to make the sets")
    parser.add_argument("--keep", action="store_true", help="leave the sets there")
    parser.add_argument("--tables", type=lambda text: text.split(","), default=["b", "a", "raw", "c", "writing"])
    parser.add_argument("--json", type=Path, help="where to write every measurement")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
