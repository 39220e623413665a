"""Where things lie; the only module that knows the folders of the repository."""

import os
from pathlib import Path


def _find_root() -> Path:
    """The repository: $CRYSTALGEN_ROOT, or the nearest parent of the working folder with a dvc.yaml."""
    if root := os.environ.get("CRYSTALGEN_ROOT"):
        return Path(root)
    here = Path.cwd()
    return next((p for p in (here, *here.parents) if (p / "dvc.yaml").is_file()), Path(__file__).parents[3])


ROOT = _find_root()
DATA = ROOT / "data"
LIBRARY = DATA / "library"
REFERENCE = DATA / "reference"
DFT = DATA / "dft"  # calculations of density-functional codes, inputs and text outputs
SHIPPED = DATA / "shipped"  # what took hours and comes with the repository: weights, relaxations
RAW = DATA / "raw"
INTERIM = DATA / "interim"
PROCESSED = DATA / "processed"
STUDIES = ROOT / "studies"
NOTEBOOKS = ROOT / "notebooks"
FIGURES = ROOT / "figures"
REPORTS = ROOT / "reports"
MODELS = ROOT / "models"
FINGERPRINTS = INTERIM / "fingerprints"  # kept by content, across studies; no stage's output
CLEAN_NOTEBOOKS = INTERIM / "notebooks"


def crystals(study: str) -> Path:
    """The study's filtered and split crystals."""
    return PROCESSED / study / "crystals.parquet"


def tensors(study: str, representation: str) -> Path:
    """The study's encoded crystals, `matrix` or `unimat`."""
    return PROCESSED / study / "tensors" / f"{representation}.safetensors"


def model(study: str, name: str) -> Path:
    """Folder of a trained model (see `generative.checkpoint`), with curve.csv."""
    return MODELS / study / name


def weights(study: str, name: str, seed: int) -> Path:
    """A trained model's weights."""
    return model(study, name) / "weights" / f"{seed}.safetensors"


def relaxations(study: str) -> Path:
    """Finished relaxations of the study's sets of equal composition, kept by content; no stage's output."""
    return INTERIM / "relaxations" / study


def sets(study: str) -> Path:
    """The study's sets of equal composition as they were generated; no stage's output."""
    return INTERIM / "sets" / study


def shipped(study: str) -> Path:
    """What comes with the repository for a study: models/<model>, sets of equal composition, their relaxations."""
    return SHIPPED / study


def checkpoints(study: str, name: str) -> Path:
    """States of a training that runs or was interrupted; no stage's output, so that no rerun deletes them."""
    return INTERIM / "checkpoints" / study / name


def samples(study: str, name: str) -> Path:
    """Folder of a model's samples: per way to sample (row) a folder with crystals.parquet, record.json and perhaps requests.parquet."""
    return PROCESSED / study / "samples" / name


def evaluation(study: str, name: str) -> Path:
    """Folder of a model's evaluation: per way to sample (row) a folder with verdicts.parquet and metrics.json."""
    return PROCESSED / study / "evaluation" / name


def asked_models(study: str) -> Path:
    """Folder of digests of the models that a stage asks, a file each stage."""
    return PROCESSED / study / "asked"


def figures(study: str, stage: str) -> Path:
    """Folder of one stage's figures."""
    return FIGURES / study / stage


def tables(study: str, stage: str) -> Path:
    """Folder of one stage's tables."""
    return REPORTS / study / "tables" / stage


def executed_notebook(name: str, parameters: dict) -> Path:
    """Where a run's executed notebook goes; a run without a study belongs to the ablations or to the library."""
    which = parameters.get("model") or parameters.get("ablation")
    folder = parameters.get("study") or ("ablations" if "ablation" in parameters else "library-card")
    return REPORTS / folder / "notebooks" / (f"{name}-{which}.ipynb" if which else f"{name}.ipynb")
