"""Which models the stages that ask several of them depend on: a digest for each, so that another model's training reruns none."""

from crystalgen.config import Study, load_study
from crystalgen.utils import paths
from crystalgen.utils.files import file_hash, write_json


def write_digests(study: str) -> None:
    """Write `<stage>.json` to `paths.asked_models(study)`: settings and hashes of the weights of each model that the stage asks.

    Raises FileNotFoundError naming the folder of a model that has no weights.
    """
    config = load_study(study)
    for stage, rows in asked_rows(config).items():
        names = sorted({config.model_of(row) for row in rows})
        write_json({name: _digest(study, config, name) for name in names}, paths.asked_models(study) / f"{stage}.json")


def asked_rows(config: Study) -> dict[str, list[str]]:
    """Ways to sample, by stage."""
    generation = [row for m in config.models.values() if m.representation == "matrix" and m.task == "generation" for row in m.sampling]
    return {
        "sampler-steps": generation if config.sampler_steps else [],
        "search": list(config.search.rows) if config.search else [],
        "energies": list(config.energies.rows) if config.energies else [],
    }


def _digest(study: str, config: Study, name: str) -> dict:
    folder = paths.model(study, name) / "weights"
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise FileNotFoundError(f"{folder} holds no weights (*.safetensors): train {name} first")
    settings = config.models[name].model_dump(mode="json", exclude={"training"})
    return {"weights": {file.name: file_hash(file) for file in weights}, "settings": settings, "seeds": config.models[name].training.seeds}
