"""Tensors for training: scaled by the training set alone, and back without loss."""

import numpy as np
import pytest
import torch

from crystalgen.generative.data.format import HELD_OUT, TEST, TRAIN, VAL
from crystalgen.generative.data.matrix import MatrixData
from crystalgen.generative.data.pairs import PairData
from crystalgen.generative.data.unimat import UniMatData
from crystalgen.represent.tensors import matrix_tensors, save_tensors, unimat_tensors
from crystalgen.utils.lattice import lattices_from_parameters

MAKERS = {"matrix": matrix_tensors, "unimat": unimat_tensors}
READERS = {"matrix": MatrixData, "unimat": UniMatData}


@pytest.fixture
def table(crystals):
    return crystals.assign(
        split=np.resize(np.array(["train", "train", "val", "train", "test", "train", "held_out"], dtype=object), len(crystals)),
        formation_energy_per_atom=np.linspace(-1, 1, len(crystals)),
        energy_source="made up",
    )


def _data(table, tmp_path, representation):
    save_tensors(MAKERS[representation](table), tmp_path / "t.safetensors")
    return READERS[representation](tmp_path / "t.safetensors")


def test_unscaling_undoes_scaling(table, tmp_path):
    data = _data(table, tmp_path, "matrix")
    rows = torch.tensor([7, 3, 44, 0])
    back = data.codec.unscale(data.batch(rows).x, data.condition(rows))
    torch.testing.assert_close(back, data.tensors["x"][rows], atol=1e-5, rtol=1e-6)


@pytest.mark.parametrize("representation", ["matrix", "unimat"])
def test_scales_come_from_the_training_rows_alone(table, representation):
    def scales(t):
        return {k: v for k, v in MAKERS[representation](t).items() if k.endswith(("_mean", "_std"))}

    def stretched(side):
        lattices = [m * 1.5 if s == side else m for m, s in zip(table["lattice"], table["split"], strict=True)]
        energies = np.where(table["split"] == side, 30.0, table["formation_energy_per_atom"])
        return scales(table.assign(lattice=lattices, formation_energy_per_atom=energies))

    before = scales(table)
    assert before
    for side in ("val", "test", "held_out"):
        for name, value in stretched(side).items():
            np.testing.assert_array_equal(value, before[name])
    assert all((stretched("train")[name] != before[name]).any() for name in before if name in ("lattice_mean", "cell_mean", "energy_mean"))


def test_training_lattices_and_energies_are_standardised(table, tmp_path):
    data = _data(table, tmp_path, "matrix")
    train = data.items(TRAIN)
    lattices = data.x[train, -3:]
    torch.testing.assert_close(lattices.mean(dim=0), torch.full((3, 3), 0.5), atol=1e-4, rtol=0)
    spread = lattices.std(dim=0, correction=0)
    assert torch.isclose(spread, torch.tensor(12**-0.5), atol=1e-3).logical_or(spread < 1e-3).all()
    energy = data.condition(train)["energy"]
    torch.testing.assert_close(energy.mean(), torch.tensor(0.0), atol=1e-5, rtol=0)
    torch.testing.assert_close(energy.std(correction=0), torch.tensor(1.0), atol=1e-4, rtol=0)


@pytest.mark.parametrize("representation", ["matrix", "unimat"])
def test_a_constant_keeps_a_scale_of_one(table, representation):
    """Float32 sums over thousands of equal rows are not exact: their rounding is no spread to divide by."""
    many = table.iloc[np.zeros(6000, int)].reset_index(drop=True)
    lattice = lattices_from_parameters(np.array([[4.137, 5.211, 6.023, 109.471, 83.217, 77.777]]))[0]
    tensors = MAKERS[representation](many.assign(lattice=[lattice] * len(many), split="train"))
    np.testing.assert_array_equal(tensors["lattice_std" if representation == "matrix" else "cell_std"], 1)


@pytest.mark.parametrize("representation", ["matrix", "unimat"])
def test_items_of_each_split_are_the_rows_of_the_table(table, tmp_path, representation):
    data = _data(table, tmp_path, representation)
    for code, name in ((TRAIN, "train"), (VAL, "val"), (TEST, "test"), (HELD_OUT, "held_out")):
        assert data.items(code).tolist() == np.flatnonzero(table["split"] == name).tolist() != []


@pytest.mark.parametrize("representation", ["matrix", "unimat"])
def test_an_epoch_is_the_training_items_in_an_order_of_its_own(table, tmp_path, representation):
    data = _data(table, tmp_path, representation)
    generator = torch.Generator().manual_seed(0)
    first, second = data.epoch(generator), data.epoch(generator)
    assert torch.equal(first.sort().values, data.items(TRAIN)) and torch.equal(second.sort().values, data.items(TRAIN))
    assert not torch.equal(first, second)
    assert torch.equal(data.epoch(torch.Generator().manual_seed(0)), first)


def test_polymorphs_of_one_formula_share_a_group_and_no_others(table):
    groups = matrix_tensors(table)["group"]
    by_formula = table.assign(group=groups).groupby("formula")["group"]
    assert (by_formula.nunique() == 1).all()
    assert len(set(groups)) == table["formula"].nunique() > table["reduced_formula"].nunique()


def test_weights_are_zero_on_padding_and_even_between_atoms_and_lattice(table, tmp_path):
    data = _data(table, tmp_path, "matrix")
    batch = data.batch(torch.arange(len(table)))
    nsites = torch.tensor(table["nsites"].to_numpy())
    padding = (torch.arange(data.codec.shape[0]) >= nsites[:, None]) & (torch.arange(data.codec.shape[0]) < data.codec.shape[0] - 3)
    assert padding.any(dim=1).all()
    assert (batch.weight[padding] == 0).all()
    assert (batch.weight[~padding] > 0).all()
    torch.testing.assert_close(batch.weight[:, :-3].sum(dim=(1, 2)), torch.full((len(table),), 3.0))
    torch.testing.assert_close(batch.weight[:, -3:].sum(dim=(1, 2)), torch.full((len(table),), 3.0))


def test_conditions_are_those_of_the_rows(table, tmp_path):
    data = _data(table, tmp_path, "matrix")
    rows = torch.tensor([9, 2])
    assert torch.equal(data.targets(rows), rows)
    condition = data.batch(rows).condition
    assert condition["space_group"].tolist() == table["space_group"].iloc[[9, 2]].tolist()
    held = condition["atomic_numbers"][0] > 0
    assert condition["atomic_numbers"][0][held].tolist() == table["atomic_numbers"].iloc[9].tolist()
    energies = condition["energy"] * data.tensors["energy_std"] + data.tensors["energy_mean"]
    np.testing.assert_allclose(energies.numpy(), table["formation_energy_per_atom"].iloc[[9, 2]], atol=1e-5)
    assert condition["energy_known"].tolist() == [True, True]


def test_ones_own_conditions_are_scaled_as_those_of_the_data(table, tmp_path):
    data = _data(table, tmp_path, "matrix")
    t, rows = data.tensors, torch.tensor([4, 31, 7])
    own = data.codec.conditions(t["atomic_numbers"][rows], t["space_group"][rows].int(), t["energy"][rows])
    asked = data.condition(rows)
    assert own.keys() == asked.keys()
    assert all(torch.equal(own[name], asked[name]) and own[name].dtype == asked[name].dtype for name in own)


def test_the_cell_of_a_composition_of_ones_own_has_its_number_of_sites(table, tmp_path):
    """Lattices are scaled by the edge of a cell of as many sites, so the same scaled lattice is larger for more atoms."""
    data = _data(table, tmp_path, "matrix")
    numbers = torch.zeros(2, data.codec.shape[0], dtype=torch.long)
    numbers[0, :1], numbers[1, :8] = 5, 5
    one, eight = data.codec.unscale(torch.rand(1, *data.codec.shape).expand(2, -1, -1), {"atomic_numbers": numbers})[:, -3:]
    torch.testing.assert_close(eight, 2 * one)


def test_only_the_operations_in_use_are_filled(table):
    tensors = matrix_tensors(table)
    filled = np.flatnonzero(np.abs(tensors["operations"]).sum(axis=(1, 2, 3)))
    assert filled.tolist() == sorted(table["space_group"].unique().tolist())


def test_a_batch_does_not_share_memory_with_the_data(table, tmp_path):
    data = _data(table, tmp_path, "matrix")
    before = data.x.clone()
    data.batch(torch.arange(4)).x.fill_(7.0)
    data.codec.unscale(data.x[:4], data.condition(torch.arange(4))).fill_(7.0)
    torch.testing.assert_close(data.x, before, rtol=0, atol=0)


def test_more_rows_are_more_padding_and_the_same_crystals(table, tmp_path):
    rows, items = 64, torch.tensor([3, 40])
    save_tensors(matrix_tensors(table, rows), tmp_path / "long.safetensors")
    long, short = MatrixData(tmp_path / "long.safetensors"), _data(table, tmp_path, "matrix")
    assert long.codec.shape == (rows, 3) != short.codec.shape
    a, b = long.batch(items), short.batch(items)
    atoms = short.codec.shape[0] - 3
    for one, other in ((a.x, b.x), (a.weight, b.weight)):
        assert torch.equal(one[:, :atoms], other[:, :atoms]) and torch.equal(one[:, -3:], other[:, -3:])
        assert (one[:, atoms:-3] == 0).all()


def test_an_energy_that_a_crystal_lacks_is_unknown_and_makes_no_pair(table, tmp_path):
    table.loc[8, ["formation_energy_per_atom", "energy_source"]] = [np.nan, None]
    save_tensors(matrix_tensors(table), tmp_path / "matrix.safetensors")
    data = MatrixData(tmp_path / "matrix.safetensors")
    condition = data.condition(torch.arange(len(table)))
    assert torch.nonzero(~condition["energy_known"]).flatten().tolist() == [8]
    assert condition["energy"].isfinite().all() and condition["energy"][8] == 0
    assert data.codec.tensors["energy_mean"].isfinite()
    with pytest.raises(ValueError, match="1 crystals have no formation energy"):
        PairData(tmp_path / "matrix.safetensors", 4)


def test_a_shift_moves_unimat_coordinates_alone(crystals):
    one, other = (unimat_tensors(crystals.assign(split="train"), shift=shift) for shift in (0.0, 0.25))
    moved = (other["frac_coords"] - one["frac_coords"]) % 1.0
    np.testing.assert_allclose(moved[one["place"] >= 0], 0.25, atol=1e-5)
    assert (other["frac_coords"] < 1).all() and (one["cell"] == other["cell"]).all()
