"""Which runs there are: found by name, filtered, described; an index beside them makes it fast."""
