"""Measure generated crystals."""
