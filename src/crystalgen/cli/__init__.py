"""`crystalgen`, also `python -m crystalgen`: thin commands over `crystalgen.api` and the pipeline."""

from crystalgen.cli import crystals, data, dft, pipeline  # noqa: F401, since importing them registers their commands
from crystalgen.cli.app import main

__all__ = ["main"]
