"""What no snapshot takes of a working tree: secrets, by name or by a key in settings, and what programs made."""

import os
import re
import stat
from collections.abc import Collection
from fnmatch import translate

_SECRET_NAMES = (
    *(".env*", "*.pem", "*.key", "*.p12", "*.pfx", "*.keystore", "*.kdbx", "id_rsa*", "id_dsa*", "id_ecdsa*"),
    *("id_ed25519*", ".netrc", "_netrc", ".pypirc", ".npmrc", ".htpasswd", ".git-credentials", "credentials*"),
    *(".aws", ".ssh", ".gnupg", ".dockercfg", "kaggle.json", "secret.*ml", "secrets.*ml", "secret*.json"),
)
_SECRET_NAME = re.compile("|".join(map(translate, _SECRET_NAMES)), re.IGNORECASE)
_SETTINGS = (".yaml", ".yml", ".json", ".toml", ".ini", ".cfg")
_SECRET_SETTING = re.compile(
    rb"""(?:(?:api|access|auth|private|secret)[_-]?(?:key|token)|password|passphrase)["']?[ \t]*[:=][ \t]*"""
    rb"""["']?[^\s"'#,{}\[\]]{8,}""",
    re.IGNORECASE,
)
"""A key with a value long enough to be one, as config.yaml and presets may hold it."""

_MANIFEST, _FORMAT, _FIRST_BYTES = "dataset.json", re.compile(rb'"format"\s*:\s*"labwright-shards"'), 4096


def secret_part(path: str, paths: Collection[str]) -> str | None:
    """The file or folder on `path` whose name says that it may hold a secret; None: there is none.

    `paths` are all there are: a config.yaml beside a pyproject.toml may hold a key.
    """
    parts = path.split("/")
    for number, part in enumerate(parts, start=1):
        if _SECRET_NAME.fullmatch(part):
            return "/".join(parts[:number])
    is_machine_config = parts[-1] == "config.yaml" and "/".join([*parts[:-1], "pyproject.toml"]) in paths
    return path if is_machine_config else None


def holds_a_key(path: str, content: bytes) -> bool:
    """Whether these are settings with a secret among them."""
    return path.endswith(_SETTINGS) and _SECRET_SETTING.search(content) is not None


def made_folders(top: str, paths: Collection[str]) -> set[str]:
    """The folders among `paths` that programs made: environments, bytecode, run directories, datasets in shards."""
    made: set[str] = set()
    for path in paths:
        folder, _, name = path.rpartition("/")
        is_run = name == "run.json" and f"{folder}/args.yaml" in paths
        is_made = name == "pyvenv.cfg" or is_run or folder.endswith("__pycache__")
        if folder and (is_made or (name == _MANIFEST and _is_of_shards(os.path.join(top, path)))):
            made.add(folder)
    return made


def _is_of_shards(path: str) -> bool:
    """Whether a file is the manifest of a dataset in shards, which says so at its beginning."""
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            return False
        with open(path, "rb") as file:
            return _FORMAT.search(file.read(_FIRST_BYTES)) is not None
    except OSError:
        return False
