"""Where things lie; the only module that knows the folders of the repository and of the installed package."""

import os
import re
from importlib import resources
from pathlib import Path

PACKAGE = Path(str(resources.files("crystalgen")))


def _find_checkout() -> Path | None:
    """Find the repository: $CRYSTALGEN_ROOT, else the nearest parent of the working folder or the package that is one."""
    if root := os.environ.get("CRYSTALGEN_ROOT"):
        return Path(root)
    here = Path.cwd()
    return next((p for p in (here, *here.parents, PACKAGE.parents[1]) if (p / "studies").is_dir() and (p / "notebooks").is_dir()), None)


CHECKOUT = _find_checkout()
ROOT = CHECKOUT or Path.cwd()  # an installed package reads and writes where it is called
DATA = ROOT / "data"
REFERENCE = PACKAGE / "reference"  # published values
LIBRARY = DATA / "library" if CHECKOUT else PACKAGE / "library" / "data"  # where setup.py puts it
DFT = DATA / "dft"  # calculations of density-functional codes, inputs and text outputs
SHIPPED = DATA / "shipped" if CHECKOUT else PACKAGE / "shipped"  # what took hours and comes along: weights, relaxations, energies
RAW = DATA / "raw"
INTERIM = DATA / "interim"
PROCESSED = DATA / "processed"
STUDIES = ROOT / "studies"
NOTEBOOKS = ROOT / "notebooks"
FIGURES = ROOT / "figures"
REPORTS = ROOT / "reports"
MODELS = ROOT / "models"
FINGERPRINTS = INTERIM / "fingerprints"  # kept by content, across studies; no stage's output
CLEAN_NOTEBOOKS = INTERIM / "notebooks"  # without outputs, by their key
CODE = INTERIM / "code"  # digests of the code that each notebook reaches
TRIES = INTERIM / "tries"  # studies that overrides of a notebook's parameters made, NAME/study.yaml
ABLATIONS = ROOT / "ablations" / "ablations.yaml"


def study_file(name: str) -> Path:
    """Return a study's settings: of `studies/`, or of a try (see `workflow.prepare`)."""
    tried = TRIES / name / "study.yaml"
    return tried if tried.is_file() else STUDIES / name / "study.yaml"


def study_names() -> list[str]:
    """Return the names of the studies in `studies/`."""
    return sorted(file.parent.name for file in STUDIES.glob("*/study.yaml"))


def notebook_key(name: str) -> str:
    """Return a notebook's key, by which stages, figures and tables are named: its file's name without number and suffix."""
    return re.sub(r"^\d+-", "", Path(name).name.removesuffix(".ipynb"))


def notebooks() -> dict[str, Path]:
    """Return the notebooks by their key, in the order of their files' names, which is the order of running."""
    return {notebook_key(file.name): file for file in sorted(NOTEBOOKS.glob("*.ipynb"))}


def settings(study: str) -> Path:
    """Return the folder of a study's resolved settings, a file for each part that stages read."""
    return INTERIM / "settings" / study


def need_checkout() -> Path:
    """Return the repository's folder.

    Raises:
        FileNotFoundError: the package is installed elsewhere, and neither the working folder nor $CRYSTALGEN_ROOT is a checkout.
    """
    if CHECKOUT is None:
        raise FileNotFoundError(
            f"{ROOT}: no checkout of crystalgen's repository, with its studies and notebooks, which this needs; "
            "run it inside one, or set CRYSTALGEN_ROOT to it"
        )
    return CHECKOUT


def crystals(study: str) -> Path:
    """Return the study's filtered and split crystals."""
    return PROCESSED / study / "crystals.parquet"


def tensors(study: str, representation: str) -> Path:
    """Return the study's encoded crystals, `matrix` or `unimat`."""
    return PROCESSED / study / "tensors" / f"{representation}.safetensors"


def model(study: str, name: str) -> Path:
    """Folder of a trained model (see `generative.checkpoint`), with curve.csv."""
    return MODELS / study / name


def weights(study: str, name: str, seed: int) -> Path:
    """Return a trained model's weights."""
    return model(study, name) / "weights" / f"{seed}.safetensors"


def relaxations(study: str) -> Path:
    """Finished relaxations of the study's sets of equal composition, kept by content; no stage's output."""
    return INTERIM / "relaxations" / study


def sets(study: str) -> Path:
    """Return the study's sets of equal composition as they were generated; no stage's output."""
    return INTERIM / "sets" / study


def shipped(study: str) -> Path:
    """Return what comes with the repository for a study: models/<model>, sets of equal composition, their relaxations."""
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


def retrieval(study: str) -> Path:
    """Return the folder of what a study's retrieval found and fitted."""
    return PROCESSED / study / "retrieval"


def corrector(study: str) -> Path:
    """Return the folder of what a study's networks answered that choose and correct."""
    return PROCESSED / study / "corrector"


def compounds(study: str) -> Path:
    """Return the folder of the crystals that a study asks for by their formulas."""
    return PROCESSED / study / "compounds"


def figures(study: str, stage: str) -> Path:
    """Folder of one stage's figures."""
    return FIGURES / study / stage


def tables(study: str, stage: str) -> Path:
    """Folder of one stage's tables."""
    return REPORTS / study / "tables" / stage


def executed_notebook(name: str, parameters: dict) -> Path:
    """Return where a run's executed notebook goes; a run without a study belongs to the ablations or to the library."""
    which = parameters.get("model") or parameters.get("ablation")
    folder = parameters.get("study") or ("ablations" if "ablation" in parameters else "library-card")
    return REPORTS / folder / "notebooks" / (f"{name}-{which}.ipynb" if which else f"{name}.ipynb")
