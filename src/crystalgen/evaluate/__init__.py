"""Measures of generated crystals, each with its count and its interval."""
