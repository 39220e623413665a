"""crystalgen: a reproducible compendium of crystal generation.

In a notebook, on pymatgen Structures, ASE Atoms, files or tables alike:

    import crystalgen as cg
    crystals = cg.generate("Ta1W1B4")       # sample a trained model, ranked by energy above the hull
    found = cg.evaluate("samples.zip", reference="data/library/crystals.parquet")
    relaxed = cg.relax(crystals)            # by a machine-learned potential
    verdicts = cg.match(samples, targets)   # with StructureMatcher's verdicts
    runs = cg.ingest("runs/")               # outputs of density-functional codes
    cg.export("samples.zip", "samples.csv") # for a benchmark's or a generator's own scripts
    table = cg.read_crystals("cifs/")       # anything as a DataFrame with a column `structure`

Each function's docstring says the rest. They are imported when first used, so that `import crystalgen` takes no time.

Rooms, each of which imports only from those before it (tests/test_floors.py):
utils < generative < config < crystals < chemistry < datasets < represent < matching < stability < potentials < library
< metrics < baselines < dft < experiments < report < workflow < api < cli.
"""

from importlib import import_module

__version__ = "0.1.0"
__all__ = ["evaluate", "export", "generate", "ingest", "match", "read_crystals", "relax"]


def __getattr__(name: str):
    if name not in __all__:
        raise AttributeError(f"module 'crystalgen' has no attribute {name!r}; it offers {', '.join(__all__)}")
    globals()[name] = found = getattr(import_module("crystalgen.api"), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
