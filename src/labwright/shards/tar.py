"""Tar, as far as shards need it: headers written, members found. Nothing is extracted, no link is followed. No torch.

A member is a block of 512 bytes (the header), its content, and zeros up to the next multiple of 512; two blocks of
zeros end the file. Written is POSIX ustar alone. Read are also the long names of pax and of GNU tar.
"""

import re
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from .errors import ShardError
from .names import split_name

BLOCK = 512
END = bytes(2 * BLOCK)
"""Closes a tar file."""
MAX_MEMBER_BYTES = (8 << 30) - 1
"""Of the content of one member: what the 11 octal digits of ustar can say."""
_MAX_EXTENSION_BYTES = 1 << 20
"""Of a header that only carries names and attributes."""
_MAX_NAME_BYTES = 4096

_IDS = b"0000644\0" + b"0000000\0" * 2
_TIME = b"00000000000\0"
_TAIL = b"ustar\x0000" + bytes(64) + b"0000000\0" * 2
_CONSTANT_SUM = sum(_IDS + _TIME + b" " * 8 + b"0" + _TAIL)

_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip",
}
_REFUSED = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a character device",
    b"4": "a block device",
    b"6": "a pipe",
    b"S": "a sparse file",
}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\\]")


class Member(NamedTuple):
    """A file in a tar: where its content lies."""

    name: str
    offset: int
    size: int


def padding(size: int) -> int:
    """How many zeros follow a content of `size` bytes."""
    return -size % BLOCK


def header(name: str, size: int) -> bytes:
    """The 512 bytes before a content of `size` bytes: the same for the same name and size, always.

    Raises:
        ShardError: the name or the size does not fit into ustar.
    """
    prefix, rest = _fit(name)
    if not 0 <= size <= MAX_MEMBER_BYTES:
        raise ShardError(f"{name!r} has {size:,} bytes; a member of a tar file has less than 8 GiB")
    digits = b"%011o\0" % size
    total = _CONSTANT_SUM + sum(prefix) + sum(rest) + sum(digits)
    block = b"%b%b%b%b%06o\0 0%b%b%b" % (rest.ljust(100, b"\0"), _IDS, digits, _TIME, total, bytes(100), _TAIL, prefix)
    return block.ljust(BLOCK, b"\0")


def _fit(name: str) -> tuple[bytes, bytes]:
    encoded = name.encode()
    if len(encoded) <= 100:
        return b"", encoded
    slash = encoded.find(b"/", len(encoded) - 101)
    if not 0 < slash <= 155 or slash == len(encoded) - 1:
        raise ShardError(f"{name!r} is too long: ustar holds 100 bytes, or 155 before and 100 after one of its slashes")
    return encoded[:slash], encoded[slash + 1 :]


def members(file: BinaryIO, shard: str) -> Iterator[Member]:
    """The regular files in a tar file, in their order, read header by header; directories are passed over.

    Raises:
        ShardError: it is no plain tar file, is damaged or cut short, or has a member that no dataset needs: a link, a
            device, an absolute name, one with `..`.
    """
    num_bytes = file.seek(0, 2)
    if num_bytes == 0:
        raise ShardError("it is empty", shard=shard)
    _check_plain(file, shard)
    position = 0
    long_name: str | None = None
    long_size: int | None = None
    while True:
        block = _block(file, position, num_bytes, shard)
        if not any(block):
            if long_name is not None or long_size is not None:
                raise ShardError(f"a long name at byte {position:,} belongs to no member", shard=shard)
            return _check_end(file, position, num_bytes, shard)
        kind, name, size = _parse(block, position, shard)
        position += BLOCK
        if kind in (b"x", b"g", b"L", b"K"):
            data = _extension(file, position, size, num_bytes, shard)
            if kind == b"L":
                long_name = _decode(data.partition(b"\0")[0], position, shard)
            elif kind in (b"x", b"g"):
                path, stated = _pax(data, position, shard)
                if kind == b"g" and (path is not None or stated is not None):
                    raise ShardError(f"byte {position:,}: one name or size for all members (pax)", shard=shard)
                if kind == b"x":
                    long_name, long_size = path if path is not None else long_name, stated
            position += size + padding(size)
            continue
        name = _checked(name if long_name is None else long_name, position, shard)
        size = size if long_size is None else long_size
        long_name = long_size = None
        if position + size > num_bytes:
            raise _cut(name, f"it would end at byte {position + size:,} of a file of {num_bytes:,}", shard)
        if kind == b"5" or (kind == b"\0" and name.endswith("/")):
            if size:
                raise ShardError(f"the directory {name!r} has {size:,} bytes of content", shard=shard)
        elif kind in (b"0", b"\0", b"7"):
            if not name or name.endswith("/"):
                raise ShardError(f"the file at byte {position:,} has the name {name!r}", shard=shard)
            yield Member(name, position, size)
        else:
            what = _REFUSED.get(kind, f"of the unknown type {kind!r}")
            raise _about(name, f"it is {what}; only plain files are read", shard)
        position += size + padding(size)


def parse_header(block: bytes, shard: str) -> tuple[str, int]:
    """Name and size that the header of a regular file tells."""
    _, name, size = _parse(block, 0, shard)
    return _checked(name, 0, shard), size


def _parse(block: bytes, position: int, shard: str) -> tuple[bytes, str, int]:
    """Type, name and size in a header whose checksum is right."""
    expected = _number(block[148:156])
    if expected is None or sum(block) - sum(block[148:156]) + 256 != expected:
        what = "it is no tar file" if position == 0 else f"the header at byte {position:,} is damaged"
        raise ShardError(f"{what} (the checksum of the header is wrong)", shard=shard)
    name = block[:100].partition(b"\0")[0]
    if block[257:263] == b"ustar\0" and (prefix := block[345:500].partition(b"\0")[0]):
        name = prefix + b"/" + name
    size = _number(block[124:136])
    if size is None or size > MAX_MEMBER_BYTES:
        told = "8 GiB or more" if size is not None else repr(block[124:136])
        raise _about(name.decode("utf-8", "replace"), f"its header at byte {position:,} says a size of {told}", shard)
    return block[156:157], _decode(name, position, shard), size


def _number(digits: bytes) -> int | None:
    """What a numeric field says: octal digits, or the binary form of GNU tar."""
    if digits[0] == 0x80:
        return int.from_bytes(digits[1:])
    text = digits.rstrip(b"\0 ").lstrip(b" ")
    return int(text, 8) if text and not text.strip(b"01234567") else None


def _block(file: BinaryIO, position: int, num_bytes: int, shard: str) -> bytes:
    if position == num_bytes:
        raise ShardError("it has no end mark: it was cut short, or is still being written", shard=shard)
    file.seek(position)
    block = file.read(BLOCK)
    if len(block) < BLOCK:
        raise ShardError(f"it was cut short, in the header at byte {position:,}", shard=shard)
    return block


def _check_plain(file: BinaryIO, shard: str) -> None:
    file.seek(0)
    start = file.read(BLOCK)
    for magic, program in _COMPRESSED.items():
        if start.startswith(magic) and start[257:262] != b"ustar":
            raise ShardError(f"it is compressed ({program}), no plain tar file: decompress it", shard=shard)


def _check_end(file: BinaryIO, position: int, num_bytes: int, shard: str) -> None:
    file.seek(position)
    while chunk := file.read(1 << 20):
        if chunk.count(0) != len(chunk):
            raise ShardError(
                f"more data follows its end mark at byte {position:,} (two tar files in one?)", shard=shard
            )


def _extension(file: BinaryIO, position: int, size: int, num_bytes: int, shard: str) -> bytes:
    if size > _MAX_EXTENSION_BYTES:
        raise ShardError(f"the header at byte {position:,} has {size:,} bytes of attributes", shard=shard)
    if position + size > num_bytes:
        raise ShardError(f"it was cut short, in the attributes at byte {position:,}", shard=shard)
    file.seek(position)
    return file.read(size)


def _pax(data: bytes, position: int, shard: str) -> tuple[str | None, int | None]:
    """Path and size in the records `<length> <name>=<value>` of a pax header, where it has them."""
    path: str | None = None
    size: int | None = None
    start = 0
    while start < len(data) and data[start]:
        digits, space, _ = data[start : start + 21].partition(b" ")
        end = start + int(digits) if space and digits.isdigit() else 0
        name, equals, value = data[start + len(digits) + 1 : end].partition(b"=")
        if not start < end <= len(data) or not equals or not value.endswith(b"\n"):
            raise ShardError(f"the pax header at byte {position:,} is damaged", shard=shard)
        value = value[:-1]
        if name.startswith(b"GNU.sparse"):
            raise ShardError(
                f"the member at byte {position:,} is a sparse file; only plain files are read", shard=shard
            )
        if name == b"path":
            path = _decode(value, position, shard)
        elif name == b"size":
            if not value.isdigit() or len(value) > 20 or int(value) > MAX_MEMBER_BYTES:
                raise ShardError(f"the pax header at byte {position:,} says a size of {value[:40]!r}", shard=shard)
            size = int(value)
        start = end
    return path, size


def _decode(name: bytes, position: int, shard: str) -> str:
    if len(name) > _MAX_NAME_BYTES:
        raise ShardError(f"the name at byte {position:,} has {len(name):,} bytes", shard=shard)
    try:
        return name.decode()
    except UnicodeDecodeError:
        raise ShardError(f"the name {name!r} at byte {position:,} is not UTF-8", shard=shard) from None


def _checked(name: str, position: int, shard: str) -> str:
    """The name, if it cannot leave a directory; without the `./` that `tar c .` writes."""
    name = name.removeprefix("./")
    if name.startswith("/") or ".." in name.split("/") or _CONTROL.search(name):
        raise ShardError(f"the member {name!r} at byte {position:,} has no relative, plain name", shard=shard)
    return name


def _about(name: str, what: str, shard: str) -> ShardError:
    key, field = split_name(name)
    return ShardError(what, shard=shard, key=key, field=field)


def _cut(name: str, what: str, shard: str) -> ShardError:
    return _about(name, f"{what}: the file was cut short, or the size in the header is wrong", shard)
