"""What is shown, made up: three crystals, a study and its metrics; figures are drawn without a display."""

import matplotlib
import numpy as np
import pandas as pd

from crystalgen.config import Study
from crystalgen.crystals import from_columns

matplotlib.use("Agg")


def three_crystals() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    numbers = [np.array([55, 17]), np.array([55, 17]), np.array([74, 5, 5])]
    return from_columns(
        [np.eye(3) * 4.1, np.diag([3.0, 3.0, 6.0]), np.eye(3) * 5],
        numbers,
        [rng.random((len(z), 3)) for z in numbers],
        "test",
        space_group=[221, 123, 1],
        split=["train", "val", None],
        formation_energy_per_atom=[-1.0, np.nan, -0.5],
        energy_source=["x", None, "x"],
    )


def metric(value, low, high, task="generation", baseline=False, by_seed=None):
    return {"value": value, "low": low, "high": high, "n": 100, "seeds": list(range(len(by_seed or [1]))), "source": "x"} | {
        "by_seed": by_seed or [value],
        "task": task,
        "baseline": baseline,
    }


def made_up_metrics() -> dict:
    """Made up: a template at 0.5 for generation; for modification the input at 0.2 and a template at 0.7."""
    return {
        "library.groups": {"value": 1, "low": None, "high": None, "n": 1, "seeds": []},
        "template.match_rate": metric(0.5, 0.4, 0.6, baseline=True),
        "template.structure_validity": metric(1.0, 1.0, 1.0, baseline=True),
        "modification_input.match_rate": metric(0.2, 0.1, 0.3, "modification", True),
        "modification_input.structure_validity": metric(1.0, 1.0, 1.0, "modification", True),
        "modification_template.match_rate": metric(0.7, 0.6, 0.8, "modification", True),
        "modification_template.structure_validity": metric(1.0, 1.0, 1.0, "modification", True),
        "matrix_generation_ddim.match_rate": metric(0.55, 0.45, 0.65, by_seed=[0.56, 0.512, 0.578]),
        "matrix_generation_ddim.structure_validity": metric(0.9, 0.8, 1.0, by_seed=[0.9, 0.9, 0.9]),
        "matrix_modification_flow.match_rate": metric(0.5, 0.4, 0.6, "modification", by_seed=[0.4, 0.6]),
        "matrix_modification_flow.structure_validity": metric(0.8, 0.7, 0.9, "modification", by_seed=[0.8, 0.8]),
        "unimat.structure_validity": metric(0.7, 0.6, 0.8, task=None),
    }


REFERENCE = {
    "matrix_generation_ddim.match_rate": {"value": 0.82, "where": "B, Table 1", "data": "AFLOW"},
    "matrix_generation_ddpm.match_rate": {"value": 0.8074, "where": "B, Table 1", "data": "AFLOW"},
}


def _training(seeds=(1, 2)) -> dict:
    return {"steps": 5, "seeds": list(seeds)}


def made_up_study() -> Study:
    return Study.model_validate(
        {
            "title": "t",
            "description": "d",
            "data": {"path": "data/library/crystals.parquet"},
            "models": {
                "matrix_generation_diffusion": {
                    "representation": "matrix",
                    "objective": {"name": "diffusion"},
                    "training": {**_training((1, 2, 3)), "condition_dropout": 0.1},
                    "sampling": {
                        "matrix_generation_ddim": {"sampler": "ddim", "steps": 20},
                        "guided": {"sampler": "ddpm", "steps": 9, "guidance": 0.5},
                    },
                },
                "matrix_generation_flow_normal": {
                    "representation": "matrix",
                    "objective": {"name": "flow", "prior": "normal", "mean": 0.5, "std": 0.25},
                    "training": _training(),
                    "sampling": {"matrix_generation_flow_normal": {"sampler": "euler", "steps": 7}},
                },
                "matrix_modification_flow": {
                    "representation": "matrix",
                    "task": "modification",
                    "objective": {"name": "flow", "prior": "structure"},
                    "training": _training(),
                    "sampling": {"matrix_modification_flow": {"sampler": "euler", "steps": 50}},
                },
                "unimat": {
                    "representation": "unimat",
                    "training": _training((1,)),
                    "sampling": {"unimat": {"sampler": "ddim", "steps": 5}},
                },
            },
            "baselines": {
                "template": {},
                "modification_input": {"kind": "input", "task": "modification"},
                "modification_template": {"task": "modification"},
            },
            "sampler_steps": {"steps": [1, 5], "targets": 8},
            "search": {"rows": ["matrix_generation_ddim"], "ladders": {"deep": {}}},
        }
    )
