"""crystalgen: a reproducible compendium of crystal generation.

Floors, each importing only those below it:
crystals, chemistry, config, paths < data < represent < nets, objectives, losses, samplers,
training < evaluate, baselines < present, pipeline.
"""

__version__ = "0.1.0"
