"""Seeds that follow from other seeds. No torch."""

import hashlib
import json


def derive_seed(seed: int, *words: str | int) -> int:
    """A seed (63 bits) that depends on `seed` and `words` alone: equal in every process and on every machine."""
    digest = hashlib.sha256(json.dumps([seed, *words]).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
