"""Digits out of noise: a generator against a critic."""
