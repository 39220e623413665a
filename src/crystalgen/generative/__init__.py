"""Everything that learns and samples, on tensors alone: this room imports `utils` and no chemistry."""
