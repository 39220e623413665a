"""The stages of a study, as DVC has them: what runs each, everything that decides its result, and what it leaves."""

from crystalgen.config import Ablations, Study
from crystalgen.utils import paths
from crystalgen.utils.values import check_name

_PYTHON = "python -m crystalgen"
_PLACEHOLDERS = ("${key}", "${item}")  # of DVC's `foreach`, whose items are names too
ABLATIONS = "ablations"  # their name where a study's stands


def command(key: str, **parameters: str) -> str:
    """Return the command that runs a notebook, as a stage has it.

    Raises:
        ValueError: a parameter is no name: a shell reads the command.
    """
    for name, value in parameters.items():
        if value not in _PLACEHOLDERS:
            check_name(value, name)
    return " ".join([f"{_PYTHON} run {key}", *(f"-p {name}={value}" for name, value in parameters.items())])


def study_stages(name: str, study: Study, sources: list[str]) -> dict[str, dict]:
    """Return the stages of a study by name, those of several models as one with `foreach`.

    Args:
        name: the study's.
        study: its settings, which say what there is to run.
        sources: files that the settings come from.

    Raises:
        ValueError: the study's name is none.
    """
    check_name(name, "study")
    home, models = f"data/processed/{name}", f"models/{name}"
    crystals, library = f"{home}/crystals.parquet", "data/library/crystals.parquet"

    def tensors(*kinds: str) -> list[str]:
        return [f"{home}/tensors/{kind}.safetensors" for kind in kinds]

    def settings(*parts: str) -> list[str]:
        return [f"data/interim/settings/{name}/{part}.json" for part in parts]

    def trained(model: str) -> list[str]:
        """Return what sampling reads of a trained model (see `generative.checkpoint`)."""
        return [f"{models}/{model}/{file}" for file in ("weights", "model.json", "scales.safetensors")]

    def sampled(*rows: str, sampling: bool = True) -> list[str]:
        """What ways to sample models rest on: weights and settings of those models, and no others."""
        names = sorted({study.model_of(row) for row in rows})
        parts = [f"models/{model}/{part}" for model in names for part in ("model", *(["sampling"] if sampling else []))]
        return [*(file for model in names for file in trained(model)), *settings(*parts)]

    def run(key: str, deps: list[str], outs: list[str | dict] = (), shown: list[str] = (), model: str | None = None, **more) -> dict:
        """A stage that runs a notebook; `shown` are outputs that stay out of DVC's cache, for they are looked at and committed."""
        parameters = {"study": name} | ({"model": model} if model else {})
        executed = _relative(paths.executed_notebook(key, parameters))
        kept = [*outs, *({path: {"cache": False}} for path in (*shown, executed))]
        return {"cmd": command(key, **parameters), "deps": _deps(key, deps), "outs": kept, **more}

    def figures(key: str) -> str:
        return _relative(paths.figures(name, key))

    def tables(key: str) -> str:
        return _relative(paths.tables(name, key))

    stages = {
        "settings": {
            "cmd": f"{_PYTHON} settings {name}",
            "deps": ["data/interim/code/settings.json", *sources],
            "outs": [f"data/interim/settings/{name}"],
        },
        "data": run("data", [study.data.path, *settings("data")], [crystals], [figures("data"), tables("data")]),
    }
    if study.kinds:
        stages["representations"] = run(
            "representations", [crystals, *settings("representations")], [f"{home}/tensors"], [figures("representations")]
        )
    if study.models:
        stages["train"] = {
            "foreach": {model: {"tensors": settings_.representation} for model, settings_ in study.models.items()},
            "do": run(
                "train",
                [f"{home}/tensors/${{item.tensors}}.safetensors", *settings("models/${key}/model", "models/${key}/training")],
                trained("${key}"),
                [f"{models}/${{key}}/card.json"],
                "${key}",
                plots=[{f"{models}/${{key}}/curve.csv": {"cache": False, "x": "step", "y": "val_loss"}}],
            ),
        }
        stages["sample"] = {
            "foreach": {model: {"tensors": settings_.representation} for model, settings_ in study.models.items()},
            "do": run(
                "sample",
                [crystals, f"{home}/tensors/${{item.tensors}}.safetensors", *trained("${key}"),
                 *settings("models/${key}/model", "models/${key}/sampling")],
                [f"{home}/samples/${{key}}"],
                model="${key}",
            ),
        }  # fmt: skip
    if study.baselines:
        stages["baseline"] = {
            "foreach": list(study.baselines),
            "do": run(
                "baseline",
                [crystals, f"{home}/tensors", *settings("baselines/${item}")],
                [f"{home}/samples/${{item}}"],
                model="${item}",
            ),
        }
    judged = {model: {"settings": f"models/{model}/model"} for model in study.models}
    judged |= {baseline: {"settings": f"baselines/{baseline}"} for baseline in study.baselines}
    if judged:
        stages["evaluate"] = {
            "foreach": judged,
            "do": run(
                "evaluate",
                [crystals, f"{home}/samples/${{key}}", "src/crystalgen/reference/benchmarks.yaml",
                 "src/crystalgen/reference/composition_scaling.csv",
                 *settings("evaluate", "${item.settings}")],
                [f"{home}/evaluation/${{key}}"],
                model="${key}",
            ),
        }  # fmt: skip
    if study.sampler_steps:
        rows = [row for m in study.models.values() if m.representation == "matrix" and m.task == "generation" for row in m.sampling]
        stages["sampler-steps"] = run(
            "sampler-steps",
            [crystals, *tensors("matrix"), *settings("sampler-steps"), *sampled(*rows)],
            shown=[figures("sampler-steps"), tables("sampler-steps")],
        )
    if study.retrieval:
        stages["retrieval"] = run(
            "retrieval",
            [crystals, "src/crystalgen/reference/benchmarks.yaml", *settings("retrieval")],
            [f"{home}/retrieval"],
            [figures("retrieval"), tables("retrieval")],
        )
    if study.corrector:
        stages["corrector"] = run(
            "corrector",
            [crystals, "src/crystalgen/reference/benchmarks.yaml", *settings("retrieval", "corrector"),
             *([study.corrector.generator] if study.corrector.generator else [])],
            [f"{home}/corrector", {f"{models}/corrector": {"persist": True}}],  # networks that are there are not trained again
            [figures("corrector"), tables("corrector")],
        )  # fmt: skip
    if study.search:
        stages["search"] = run(
            "search",
            [crystals, library, "src/crystalgen/reference/table3.yaml", *settings("search"),
             *sampled(*study.search.rows)],
            [f"{home}/search"],
            [figures("search"), tables("search"), f"reports/{name}/candidates"],
        )  # fmt: skip
        stages["dft"] = run(
            "dft",
            ["data/dft", "src/crystalgen/reference/known_structures.yaml", "src/crystalgen/reference/table3.yaml"],
            shown=[figures("dft"), tables("dft")],
        )
    if study.energies:
        stages["energies"] = run(
            "energies",
            [crystals, library, *settings("energies"), *sampled(*study.energies.rows)],
            [f"{home}/energies"],
            [figures("energies"), tables("energies")],
        )
    if study.compounds:
        stages["compounds"] = run(
            "compounds",
            ["src/crystalgen/reference/prototypes.safetensors", "src/crystalgen/reference/hull_errors.json",
             "data/shipped/mp_20_generator", "data/shipped/materials_project", *settings("compounds")],
            [f"{home}/compounds"],
            [figures("compounds"), tables("compounds")],
        )  # fmt: skip
    stages["results"] = run(
        "results",
        [crystals, "src/crystalgen/reference", *settings("results"), *_drawn(study, sampled, tensors, library),
         *(f"{home}/{what}/{row}" for what in ("samples", "evaluation") for row in judged),
         *([f"{home}/retrieval"] if study.retrieval else []),
         *([f"{home}/corrector"] if study.corrector else []),
         *([f"{home}/compounds"] if study.compounds else []),
         *(f"reports/{other}/rows.json" for other in study.beside),
         *(f"{models}/{model}/{file}" for model in study.models for file in ("card.json", "curve.csv"))],
        shown=[figures("results"), tables("results")],
        metrics=[{f"reports/{name}/metrics.json": {"cache": False}}],
    )  # fmt: skip
    executed = [out for what in concrete(stages).values() for out in what["outs"] if out.endswith(".ipynb")]
    stages["report"] = {
        "cmd": f"{_PYTHON} report {name}",
        "deps": ["data/interim/code/report.json", *executed],
        "outs": [{path: {"cache": False}} for path in (f"reports/{name}/index.html", f"reports/{name}/pages")],
    }
    return {stage: {"wdir": "../..", **what} if "cmd" in what else _placed(what) for stage, what in stages.items()}


def ablation_stages(ablations: Ablations, sources: list[str]) -> dict[str, dict]:
    """Return the stages of the ablations, which stand beside the studies and need one of them."""
    home, item = f"data/processed/{ablations.study}", "${item}"
    shown = [paths.figures(ABLATIONS, item), paths.tables(ABLATIONS, item), paths.executed_notebook("ablation", {"ablation": item})]
    settings = {
        "cmd": f"{_PYTHON} settings {ABLATIONS}",
        "deps": ["data/interim/code/settings.json", *sources],
        "outs": [f"data/interim/settings/{ABLATIONS}"],
    }
    run = {
        "cmd": command("ablation", ablation=item),
        "deps": _deps("ablation", [f"{home}/crystals.parquet", f"{home}/tensors/matrix.safetensors",
                                   f"data/interim/settings/{ABLATIONS}/{item}.json"]),
        "outs": [{_relative(path): {"cache": False}} for path in shown],
    }  # fmt: skip
    return {"settings": {"wdir": "..", **settings}, "ablation": _placed({"foreach": list(ablations.ablations), "do": run}, "..")}


def concrete(stages: dict[str, dict]) -> dict[str, dict]:
    """Return stages with those of `foreach` spelt out, `train@unimat` and so on, and outputs as a list of paths."""
    found = {}
    for stage, what in stages.items():
        items = what.get("foreach")
        for item in [None] if items is None else items:
            fields = {"item": item, "key": item}
            fields |= {f"item.{name}": value for name, value in items[item].items()} if isinstance(items, dict) else {}
            found[stage if item is None else f"{stage}@{item}"] = _filled(what.get("do", what), fields)
    return found


def _filled(what: dict, fields: dict[str, str | None]) -> dict:
    def fill(text: str) -> str:
        for name, value in fields.items():
            text = text.replace(f"${{{name}}}", str(value))
        return text

    left = [out if isinstance(out, str) else next(iter(out)) for kind in ("outs", "plots", "metrics") for out in what.get(kind, ())]
    return {"cmd": fill(what["cmd"]), "deps": [fill(dep) for dep in what["deps"]], "outs": [fill(out) for out in left]}


def _drawn(study: Study, sampled, tensors, library: str) -> list[str]:
    """Return what the results sample for their figures: a denoising UniMat model, and guidance; see the notebook."""
    rows = [row for model in study.models.values() if model.representation == "unimat" for row in model.sampling][:1]
    rows += [study.guidance.row] if study.guidance else []
    return [*(tensors("unimat") if rows else []), *sampled(*rows), *([library] if study.guidance else [])]


def _deps(key: str, deps: list[str]) -> list[str]:
    return list(dict.fromkeys([f"data/interim/notebooks/{key}.ipynb", f"data/interim/code/{key}.json", *deps]))


def _placed(what: dict, root: str = "../..") -> dict:
    return {"foreach": what["foreach"], "do": {"wdir": root, **what["do"]}}


def _relative(path) -> str:
    return str(path.relative_to(paths.ROOT))
