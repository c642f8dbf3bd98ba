"""Shapes found over digits, pixel by pixel."""
