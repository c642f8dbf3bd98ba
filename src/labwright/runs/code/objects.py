"""What git keeps a tree of files as: entries by path, and the ids of their contents."""

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from .git import Git, GitError

LINK, SUBMODULE, FILE, PROGRAM = "120000", "160000", "100644", "100755"
"""What git calls them."""


class Entry(NamedTuple):
    """What a path of a tree is: git's mode, and the id of its content."""

    mode: str
    oid: str


def entries_of(git: Git, tree: str) -> Iterator[tuple[str, Entry]]:
    """The files, links and submodules of a tree or commit, by their path within the repository."""
    check_object_ids(tree)
    for line in records(git("ls-tree", "-r", "-z", "--full-tree", tree)):
        about, _, path = line.partition("\t")
        mode, _, oid = about.split(" ")
        yield path, Entry(mode, oid)


def object_id(content: bytes, like: str) -> str:
    """The id that git gives a file of this content, in the repository that has an id `like` this one."""
    algorithm = hashlib.sha1 if len(like) == 40 else hashlib.sha256
    return algorithm(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def is_object_id(text: object) -> bool:
    """Whether it has the form of one."""
    return isinstance(text, str) and re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", text) is not None


def check_object_ids(*texts: str) -> None:
    """Nothing else reaches git's command line, where it could be a flag."""
    for text in texts:
        if not is_object_id(text):
            raise GitError(f"{text!r} is no id of a git object")


def records(answer: bytes) -> Iterator[str]:
    """The parts of what git prints with -z; file names keep bytes that are no text."""
    return iter(os.fsdecode(answer).split("\0")[:-1])


def joined(parts: Iterable[str]) -> bytes:
    """The same, as git reads them with -z."""
    return os.fsencode("".join(f"{part}\0" for part in parts))
