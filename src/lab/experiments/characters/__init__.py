"""A language model of the characters of a text."""
