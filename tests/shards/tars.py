"""Tar files made byte by byte, also ones that no program would write."""

from collections.abc import Iterable
from pathlib import Path

from labwright.shards.tar import END, header, padding


def plain(members: Iterable[tuple[str, bytes]], *, end: bytes = END) -> bytes:
    """A tar file as labwright writes it."""
    return b"".join(header(name, len(data)) + content(data) for name, data in members) + end


def content(data: bytes) -> bytes:
    """What follows a header."""
    return data + bytes(padding(len(data)))


def forged(
    name: bytes, size: int | bytes = 0, kind: bytes = b"0", *, magic: bytes = b"ustar\x0000", link: bytes = b""
) -> bytes:
    """A header that says whatever it is told to, with the right checksum."""
    digits = size if isinstance(size, bytes) else b"%011o\0" % size
    block = bytearray(512)
    for start, part in ((0, name), (100, b"0000644\0"), (124, digits), (156, kind), (157, link), (257, magic)):
        block[start : start + len(part)] = part
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def pax(**records: bytes) -> bytes:
    """A pax header and its records, for the member behind it."""
    data = b"".join(record(name.replace("_", ".").encode(), value) for name, value in records.items())
    return forged(b"PaxHeaders/x", len(data), b"x") + content(data)


def record(name: bytes, value: bytes) -> bytes:
    """`<length> <name>=<value>`, where the length counts itself."""
    rest = b" " + name + b"=" + value + b"\n"
    length = len(rest) + 1
    while len(str(length)) + len(rest) != length:
        length += 1
    return str(length).encode() + rest


def write_tar(path: Path, members: Iterable[tuple[str, bytes]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(plain(members))
    return path
