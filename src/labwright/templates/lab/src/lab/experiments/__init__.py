"""The experiments of this lab: each composes parts."""
