"""Handwritten digits by their neighbours in an embedding; nothing is trained."""
