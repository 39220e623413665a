"""A generator that is shown a retrieved crystal: never the crystal itself, row by row, hidden in a share of the training."""

import numpy as np
import pandas as pd
import pytest
import torch
from pydantic import ValidationError
from pymatgen.core import Lattice, Structure

from crystalgen.chemistry.spacegroups import find_space_groups
from crystalgen.crystals import from_structures
from crystalgen.experiments.shown_templates import shown_templates
from crystalgen.generative.data.format import TRAIN
from crystalgen.generative.data.matrix import MatrixData
from crystalgen.generative.jobs import run_job
from crystalgen.generative.settings import MatrixModel
from crystalgen.generative.train import _drop_templates
from crystalgen.represent.reduced import reduce_cells
from crystalgen.represent.tensors import matrix_tensors, save_tensors

CATIONS, ANIONS = ("Li", "Na", "K", "Rb", "Ag"), ("F", "Cl", "Br", "I")


@pytest.fixture(scope="module")
def salts() -> pd.DataFrame:
    """Tetragonal salts whose free coordinate is the crystal's own; the last, with a stoichiometry that no other has, has no template."""
    rng = np.random.default_rng(0)
    structures = [
        Structure(Lattice.tetragonal(3.5 + 0.1 * i, 5 + 0.1 * i), [one, one, other], [[0, 0, 0], [0.5, 0.5, z], [0.5, 0, 0.3]])
        for i, one in enumerate(CATIONS)
        for other, z in zip(ANIONS, rng.uniform(0.3, 0.45, 4), strict=True)
    ]
    structures.append(Structure(Lattice.cubic(4), ["Ti", "N"], [[0, 0, 0], [0.5, 0.5, 0.5]]))
    split = ["train"] * 17 + ["test"] * 3 + ["train"]
    energies = {"formation_energy_per_atom": np.nan, "e_above_hull": np.nan}
    return find_space_groups(from_structures(structures, "salts", **energies)).assign(split=split)


@pytest.fixture(scope="module")
def shown(salts) -> pd.DataFrame:
    return shown_templates(salts, workers=1)


def test_no_crystal_is_shown_itself_or_a_judged_one(salts, shown):
    assert sorted(shown["row"]) == list(range(20)), "all but the one of a kind"
    assert (shown["template_id"].to_numpy() != salts["id"].to_numpy()[shown["row"]]).all()
    assert not set(shown["template_id"]) & set(salts["id"][salts["split"] == "test"])


def test_templates_stand_beside_their_crystals(salts, shown, tmp_path):
    described = reduce_cells(salts)
    tensors = matrix_tensors(described, templates=reduce_cells(shown))
    alone = np.setdiff1d(np.arange(len(salts)), shown["row"])
    assert np.isnan(tensors["template"][alone]).all() and np.isfinite(tensors["template"][shown["row"]]).all()
    save_tensors(tensors, tmp_path / "matrix.safetensors")
    data = MatrixData(tmp_path / "matrix.safetensors", trim=True)
    batch = data.batch(torch.arange(4))
    assert batch.condition["start"].shape == batch.x.shape
    wrong = reduce_cells(shown).assign(row=shown["row"].to_numpy()[::-1])
    with pytest.raises(ValueError, match="has other atoms in its rows"):
        matrix_tensors(described, templates=wrong)


def test_templates_are_hidden_in_a_share_of_the_training(salts, shown, tmp_path):
    save_tensors(matrix_tensors(reduce_cells(salts), templates=reduce_cells(shown)), tmp_path / "matrix.safetensors")
    data = MatrixData(tmp_path / "matrix.safetensors")
    items = data.items(TRAIN)[:16].repeat(50)
    start = _drop_templates(data.batch(items), 0.25, 3).condition["start"]
    hidden = start.isnan().all(dim=(1, 2))
    assert 0.2 < hidden.float().mean() < 0.3
    torch.testing.assert_close(start[~hidden], data.batch(items).condition["start"][~hidden])


def _model(**changes) -> MatrixModel:
    net = {"name": "rows", "channels": 32, "blocks": 2, "heads": 4, "start": True}
    training = {"steps": 150, "batch_size": 16, "learning_rate": 3e-3, "warmup": 10, "ema": 0.9, "template_dropout": 0.3}
    sampling = {"sample": {"sampler": "unmask", "steps": 4, "withhold": ["template"]}}
    return MatrixModel.model_validate(
        {"net": net, "objective": {"name": "masked", "bins": 16}, "training": training, "sampling": sampling} | changes
    )


def test_what_is_shown_is_used_and_can_be_withheld(tmp_path):
    """Coordinates by chance, and templates that are the crystals: only whoever looks at them can know."""
    rng = np.random.default_rng(1)
    lattices, numbers = [np.eye(3) * 4] * 60, [np.array([11, 17, 17])] * 60
    table = pd.DataFrame({
        "id": [str(i) for i in range(60)], "formula": "NaCl2", "lattice": lattices, "atomic_numbers": numbers, "nsites": 3,
        "frac_coords": list(rng.random((60, 3, 3))), "split": "train", "space_group": 1, "formation_energy_per_atom": np.nan,
    })  # fmt: skip
    save_tensors(matrix_tensors(table, templates=table.assign(row=np.arange(60))), tmp_path / "matrix.safetensors")
    model, data = _model(), MatrixData(tmp_path / "matrix.safetensors")
    net = run_job(model, tmp_path / "matrix.safetensors", tmp_path / "checkpoints")[0].net
    objective, condition = model.objective.build(), data.condition(torch.arange(60))

    def apart(told: dict) -> float:
        x = objective.sample(net, objective.prior(data.x.shape, told, None), told, model.sampling["sample"], None)
        return float(((x - data.x + 0.5) % 1 - 0.5)[:, :3].abs().mean())

    from crystalgen.generative.data.conditions import withheld

    with torch.no_grad():
        assert apart(condition) < 0.5 * apart(withheld(condition, ["template"]))


def test_settings_that_show_nothing_are_refused():
    with pytest.raises(ValidationError, match=r"template_dropout.*nothing is shown a template"):
        _model(net={"name": "rows", "channels": 32, "blocks": 2, "heads": 4})
    with pytest.raises(ValidationError, match="withholds template"):
        _model(training={"steps": 5})
