"""Handwritten digits of which few are labelled; an averaged teacher labels the others."""
