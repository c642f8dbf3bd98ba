"""Data of this lab."""
