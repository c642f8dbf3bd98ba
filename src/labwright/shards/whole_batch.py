"""A batch that was read at once, and says so to loaders that expect a list of samples. No torch."""

from typing import Any

from .errors import ShardError


class WholeBatch(dict[str, Any]):
    """What the samples of a batch have, by name. A ShardError where it is taken for a list of samples."""

    def __missing__(self, key: object) -> Any:
        if isinstance(key, int):
            raise ShardError(
                f"the batch has no {key}: it is a dict, {{name: values of all its samples}}, and not a list of "
                "samples; torch's DataLoader takes it as it is with collate_fn=dict"
            )
        raise KeyError(key)
