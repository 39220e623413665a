"""Training on orbits: what symmetry makes alike is hidden together, what it fixes is shown, whatever order atoms have."""

import numpy as np
import pandas as pd
import pytest
import torch
from pymatgen.core import Lattice, Structure
from pymatgen.symmetry.groups import SpaceGroup

from crystalgen.chemistry.spacegroups import find_space_groups
from crystalgen.crystals import from_structures
from crystalgen.generative.data.matrix import MatrixData
from crystalgen.generative.jobs import load_data, run_job
from crystalgen.generative.objectives.settings import Masked
from crystalgen.generative.settings import MatrixModel
from crystalgen.represent.reduced import reduce_cells
from crystalgen.represent.scaffold import orbits_in
from crystalgen.represent.tensors import matrix_tensors, save_tensors


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """Rutiles: two orbits, one of four oxygens with a free coordinate; rock salts, all fixed; and a crystal without symmetry."""
    rutiles = [
        Structure.from_spacegroup("P4_2/mnm", Lattice.tetragonal(4.5 + 20 * (u - 0.29), 3), [metal, "O"], [[0, 0, 0], [u, u, 0]])
        for metal, u in zip(("Ti", "Sn", "Ge", "Pb"), (0.29, 0.295, 0.3, 0.305), strict=True)
    ]
    salts = [Structure(Lattice.cubic(4 + i / 10), ["Na", other], [[0, 0, 0], [0.5, 0.5, 0.5]]) for i, other in enumerate(("Cl", "Br"))]
    rough = Structure(Lattice.from_parameters(4, 5, 6.5, 80, 95, 101), ["Ti", "O", "O"], [[0, 0, 0], [0.2, 0.4, 0.3], [0.61, 0.13, 0.77]])
    energies = {"formation_energy_per_atom": np.nan, "e_above_hull": np.nan}
    made = find_space_groups(from_structures([*rutiles, *salts, rough], "made", **energies))
    return reduce_cells(made.assign(split=["train"] * 6 + ["val"]))


@pytest.fixture(scope="module")
def file(table, tmp_path_factory):
    path = tmp_path_factory.mktemp("orbits") / "matrix.safetensors"
    save_tensors(matrix_tensors(table, orbits=True), path)
    return path


def a_model(orbits: bool) -> MatrixModel:
    return MatrixModel(**{
        "net": {"name": "rows", "channels": 16, "blocks": 1, "heads": 2}, "augment": ["order"],
        "objective": {"name": "masked", "bins": 16, "unit": "value", "orbits": orbits},
        "training": {"steps": 3, "batch_size": 3, "batches": "length", "report_every": 3, "checkpoint_every": 3},
        "sampling": {"a": {"sampler": "unmask", "steps": 2}},
    })  # fmt: skip


@pytest.mark.parametrize("number", [2, 62, 148, 166, 194, 225])
def test_orbits_are_those_of_the_group(number):
    rng, group = np.random.default_rng(number), SpaceGroup.from_int_number(number)
    lattice = {2: Lattice.from_parameters(5, 6, 7, 82, 95, 107), 62: Lattice.orthorhombic(5, 6, 7), 225: Lattice.cubic(9)}
    made = Structure.from_spacegroup(group.symbol, lattice.get(number, Lattice.hexagonal(6, 9)), ["Ti", "O"], [[0, 0, 0], rng.random(3)])
    orbit, fixed = orbits_in(made.lattice.matrix, np.array(made.atomic_numbers), made.frac_coords, 0.01)
    assert [len(set(orbit[np.array(made.atomic_numbers) == z])) for z in (22, 8)] == [1, 1], "one orbit of each"
    assert fixed[0] and not fixed[-1] and np.array_equal(fixed, fixed[orbit])


def test_without_symmetry_each_site_is_its_own_orbit_and_only_the_origin_is_fixed(table):
    rough = table.iloc[-1]
    orbit, fixed = orbits_in(rough["lattice"], rough["atomic_numbers"], rough["frac_coords"], 0.1)
    assert orbit.tolist() == [0, 1, 2] and fixed.tolist() == [True, False, False]


def test_orbits_stay_with_their_atoms_when_these_change_places(file):
    data = MatrixData(file, augment=("order",), trim=True)
    rutile = torch.zeros(40, dtype=torch.long)
    plain, moved = data.batch(rutile), data.batch(rutile, torch.Generator().manual_seed(0))
    assert (plain.x != moved.x).any(), "some are described anew"
    for x, orbit, fixed in zip(moved.x, moved.condition["orbit"], moved.condition["fixed"], strict=True):
        for place in range(6):
            own = (plain.x[0] - x[place]).abs().sum(dim=1).argmin()
            assert orbit[place] == plain.condition["orbit"][0, own] and fixed[place] == plain.condition["fixed"][0, own]


@pytest.mark.parametrize("unit", ["row", "value"])
@pytest.mark.parametrize("trim", [True, False])
def test_orbits_are_hidden_together_and_fixed_sites_are_shown(file, unit, trim):
    data, objective = MatrixData(file, trim=trim), Masked(unit=unit, bins=8, orbits=True).build()
    batch, seen = data.batch(torch.tensor([0, 1, 4, 6])), []
    for seed in range(100):
        x_t, _, target, _ = objective.corrupt(batch.x, batch.condition, torch.Generator().manual_seed(seed))
        hidden, sites = x_t.isnan(), slice(0, -3)
        assert torch.equal(hidden, ~target.isnan()) and hidden.any(dim=(1, 2)).all()
        assert not hidden[:, sites][batch.condition["fixed"][:, sites]].any()
        assert not hidden[:, sites][batch.condition["atomic_numbers"][:, sites] == 0].any()
        rutile = hidden[0, :6].all(dim=1)
        assert torch.equal(rutile, hidden[0, :6].any(dim=1)) and len(set(rutile[2:].tolist())) == 1, "four oxygens, all their values"
        seen.append([bool(rutile[2]), bool(hidden[3, 1].any()), bool(hidden[3, 1].any() != hidden[3, 2].any())])
    assert np.all(np.mean(seen, axis=0) > 0.1), "free orbits are hidden, those of a crystal without symmetry one by one"


def test_a_file_without_orbits_is_refused_and_one_with_them_trains_either_way(table, file, tmp_path):
    save_tensors(matrix_tensors(table), tmp_path / "matrix.safetensors")
    with pytest.raises(ValueError, match="matrix.safetensors: lacks orbit and fixed.*expected representations.orbits: true"):
        load_data(a_model(True), tmp_path / "matrix.safetensors")
    losses = [run_job(a_model(orbits), file, tmp_path / str(orbits))[0].curve[-1]["val_loss"] for orbits in (True, False)]
    assert np.isfinite(losses).all() and losses[0] != losses[1]
