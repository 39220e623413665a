"""Baselines without a network, for every table to face."""
