"""The code of a run: kept in its git repository, and written out again."""
