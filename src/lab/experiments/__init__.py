"""The experiments of this lab."""
