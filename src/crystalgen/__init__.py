"""crystalgen: a reproducible compendium of crystal generation.

Rooms, each of which imports only from those before it (tests/test_floors.py):
utils < generative < config < crystals < chemistry < datasets < represent < matching < stability < potentials < library
< metrics < baselines < dft < experiments < report < workflow.
"""

__version__ = "0.1.0"
