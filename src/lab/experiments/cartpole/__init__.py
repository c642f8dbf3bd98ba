"""A pole to be balanced on a cart: reinforcement learning, where episodes are the batches."""
