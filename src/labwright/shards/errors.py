"""What is wrong with shards, in one line."""

from labwright.args.errors import UserError
from labwright.args.wording import one_line


class ShardError(UserError):
    """A shard, an index or a sample in them cannot be used: says which shard, key and field, and why."""

    def __init__(self, what: str, *, shard: object = "", key: str = "", field: str = "") -> None:
        member = f"{key}.{field}" if key and field else key or field
        place = " in ".join(part for part in (f"{member!r}" if member else "", one_line(str(shard), 1000)) if part)
        super().__init__(f"{place}: {what}" if place else what)
        self.what = what
        """Without the place."""
        self.shard = str(shard)
        self.key = key
        self.field = field
