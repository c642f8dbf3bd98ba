"""checkpoints/ of a run: the states that are kept, the index that names them, and what finds damage."""
