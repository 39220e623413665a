"""Prototypes distilled from a training table: a small file that answers compositions with symmetric crystals."""
