"""Noisy digits made clean."""
