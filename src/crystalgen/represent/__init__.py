"""Crystals as tensors, each representation with an exact inverse."""
