"""Which studies and models can be sampled from here, known from settings and files alone; pandas and chemistry wait until needed."""

from crystalgen.config import Study, load_study, read_selection
from crystalgen.utils import paths
from crystalgen.utils.formulas import ATOMIC_NUMBERS, parse_composition


def trained_studies() -> list[str]:
    """Return the names of the studies that have trained weights, selected ones before others.

    Raises:
        ValueError: none is trained; with the command that trains one.
    """
    selected = read_selection()
    names = [*selected, *(name for name in paths.study_names() if name not in selected)]
    trained = [name for name in names if any((paths.MODELS / name).glob("*/weights/*.safetensors"))]
    if not trained:
        raise ValueError(f"no trained models of {', '.join(selected)}; run `make reproduce` first, or name a study that was run")
    return trained


def trained_study(composition: str | None = None) -> str:
    """Return the first study that has trained weights; with a composition, the first whose training crystals hold its elements.

    Raises:
        ValueError: none is trained; with the command that trains one.
    """
    trained = trained_studies()
    if composition is None:
        return trained[0]
    from crystalgen.generative.checkpoint import SETTINGS, load_codec

    wanted = {ATOMIC_NUMBERS[symbol] for symbol in parse_composition(composition)}
    known = {name: [load_codec(file.parent)[1].seen for file in (paths.MODELS / name).glob(f"*/{SETTINGS}")] for name in trained}
    return next((name for name in trained if any(wanted <= set(seen.known_elements) for seen in known[name])), trained[0])


def conditional_model(study: str, row: str | None = None) -> tuple[Study, str]:
    """Return the study's settings, and which of its ways to sample a model that is told a composition is meant: `row`, or the first.

    Raises:
        ValueError: there is no such study or model.
    """
    config = load_study(study)
    rows = [name for model in config.models.values() if model.task in ("generation", "composition") for name in model.sampling]
    if not rows:
        raise ValueError(f"study {study}: no model is told a composition")
    if row is not None and row not in rows:
        raise ValueError(f"model '{row}': expected one of {rows}")
    return config, row or rows[0]
