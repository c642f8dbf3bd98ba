"""Handwritten digits with a network in JAX; needs no PyTorch."""
