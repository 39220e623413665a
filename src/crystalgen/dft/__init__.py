"""Inputs for density-functional codes, and reading what they left."""
