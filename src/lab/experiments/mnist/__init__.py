"""Handwritten digits, 28x28: the demonstration."""
