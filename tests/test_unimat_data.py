"""UniMat's training data: grids, conditions and weights, and back to crystals."""

import numpy as np
import pytest
import torch

from crystalgen.crystals import from_columns
from crystalgen.generative.data.format import NULL, TRAIN
from crystalgen.generative.data.settings import UniMatInput
from crystalgen.generative.data.unimat import Layout, UniMatData
from crystalgen.represent import unimat
from crystalgen.represent.tensors import matrix_tensors, save_tensors, unimat_tensors

EVERY = torch.arange(59)


@pytest.fixture
def table(crystals):
    splits = np.resize(np.array(["train", "train", "val", "train", "test"], dtype=object), len(crystals))
    return crystals.assign(split=splits, band_gap=np.linspace(0, 3, len(crystals)))


@pytest.fixture
def data(table, tmp_path):
    save_tensors(unimat_tensors(table), tmp_path / "u.safetensors")
    return lambda **settings: UniMatData(tmp_path / "u.safetensors", UniMatInput(**settings))


@pytest.mark.parametrize("cell", ["channels", "token"])
@pytest.mark.parametrize("coordinates", ["fractional", "cartesian"])
@pytest.mark.parametrize("composition", ["none", "exact"])
def test_a_crystal_comes_back_from_its_grid(table, data, coordinates, cell, composition):
    read = data(coordinates=coordinates, cell=cell, composition=composition)
    batch = read.batch(EVERY)
    places = batch.condition.get("places")
    grid, cells = read.codec.unscale(batch.x, batch.condition)
    block = unimat.Table(read.tensors["elements"].numpy(), read.codec.grid[0])
    lattices, numbers, coords = unimat.decode(grid.numpy(), cells.numpy(), block, None if places is None else places.numpy())
    decoded = from_columns(lattices, numbers, coords, "s")
    expected = unimat.encode(table, unimat.table_for(table))
    found = unimat.encode(decoded, block)
    np.testing.assert_allclose(found.cell, expected.cell, rtol=1e-4, atol=1e-3)
    for one, other in zip(table["formula"], decoded["formula"], strict=True):
        assert one == other
    one, other = unimat.dense(expected, block), unimat.dense(found, block)
    difference = one - other
    np.testing.assert_allclose(difference - np.round(difference), 0, atol=2e-4)


@pytest.mark.parametrize("coordinates", ["fractional", "cartesian"])
def test_coordinates_of_training_crystals_stay_clear_of_null(data, coordinates):
    read = data(coordinates=coordinates)
    x = read.batch(read.items(TRAIN)).x[:, :3]
    held = (x != NULL).any(dim=1, keepdim=True).expand_as(x)
    assert (x[held] >= -1e-5).all() and (x[held] <= 1 + 1e-5).all()


@pytest.mark.parametrize("cell", ["channels", "token"])
def test_a_layout_splits_what_it_joined(cell):
    layout = Layout((2, 3, 4), cell)
    coordinates, parameters = torch.randn(5, 3, 2, 3, 4), torch.randn(5, 6)
    x = layout.join(coordinates, parameters)
    assert x.shape[1:] == layout.shape
    back, cells = layout.split(x)
    assert torch.equal(back, coordinates)
    assert torch.equal(cells if cell == "token" else cells[:, :, 1, 2, 3], parameters)
    assert torch.equal(layout.join(back, cells), x)


def test_scaled_cells_have_a_third_as_spread(data):
    read = data(cell="token")
    cells = read.codec.layout.split(read.batch(read.items(TRAIN)).x)[1]
    torch.testing.assert_close(cells.mean(dim=0), torch.zeros(6), atol=1e-4, rtol=0)
    spread = cells.std(dim=0, correction=0)
    assert torch.isclose(spread, torch.tensor(1 / 3), atol=1e-3).logical_or(spread < 1e-3).all()


def test_a_composition_is_told_by_type_or_exactly(table, data):
    exact, kind = (data(composition=c).condition(EVERY)["places"] for c in ("exact", "type"))
    assert exact.flatten(1).sum(dim=1).tolist() == table["nsites"].tolist()
    elements = data().tensors["elements"]
    for i, numbers in enumerate(table["atomic_numbers"]):
        assert sorted(elements.expand(exact.shape[1:])[exact[i]].tolist()) == sorted(numbers.tolist())
        assert sorted(set(elements.expand(exact.shape[1:])[kind[i]].tolist())) == sorted(set(numbers.tolist()))
        assert kind[i].all(dim=0).equal(kind[i].any(dim=0))
    assert "places" not in data().condition(EVERY)


@pytest.mark.parametrize("cell", ["channels", "token"])
def test_a_known_null_weighs_nothing_and_an_unknown_one_as_much_as_an_atom(table, data, cell):
    for composition in ("none", "exact"):
        read = data(cell=cell, composition=composition)
        batch = read.batch(EVERY)
        coordinates, _ = read.codec.layout.split(batch.weight.expand_as(batch.x))
        held = (read.codec.layout.split(batch.x)[0] != NULL).any(dim=1, keepdim=True).expand_as(coordinates)
        used = (read.tensors["elements"] > 0).expand_as(coordinates)
        assert (coordinates[held] > 0).all() and (coordinates[~used] == 0).all() and (~used).any()
        assert (coordinates[~held & used] == 0).all() == (composition == "exact")
        if cell == "token":  # the cell weighs as much as the atoms of a crystal of average size
            assert coordinates[held].unique().numel() == 1
            mean = table.loc[table["split"] == "train", "nsites"].mean()
            assert batch.weight[:, -2:].sum(dim=(1, 2))[0] == pytest.approx(3 * mean * float(coordinates[held][0]))


def test_conditions_are_standardised_and_gaps_are_marked(table, data):
    read = data(conditions=("formation_energy_per_atom", "band_gap", "space_group"))
    told = read.condition(EVERY)
    energies = table["formation_energy_per_atom"].to_numpy()
    assert told["energy_known"].tolist() == np.isfinite(energies).tolist()
    back = told["energy"] * read.tensors["energy_std"] + read.tensors["energy_mean"]
    np.testing.assert_allclose(back[told["energy_known"]], energies[np.isfinite(energies)], atol=1e-5)
    assert torch.isfinite(told["energy"]).all()
    assert told["space_group"].tolist() == table["space_group"].tolist() and told["space_group_known"].all()
    assert told["band_gap_known"].all()


def test_a_condition_that_no_crystal_has_is_refused(table, tmp_path):
    save_tensors(unimat_tensors(table.drop(columns="band_gap")), tmp_path / "u.safetensors")
    with pytest.raises(ValueError, match="no training crystal has a known band_gap"):
        UniMatData(tmp_path / "u.safetensors", UniMatInput(conditions=("band_gap",)))


def test_fewer_elements_keep_their_rows_in_the_table(table, tmp_path):
    save_tensors(unimat_tensors(table, ("Ta", "B", "W")), tmp_path / "u.safetensors")
    read = UniMatData(tmp_path / "u.safetensors")
    rows = read.targets(torch.arange(len(read.tensors["row"])))
    assert 0 < len(rows) < len(table)
    for row, x in zip(rows.tolist(), read.batch(torch.arange(len(rows))).x, strict=True):
        assert (x[0] != NULL).sum() == table["nsites"].iloc[row]
        assert set(table["atomic_numbers"].iloc[row]) <= {73, 5, 74}


def test_training_draws_descriptions_from_its_generator(data):
    read = data(augment=("translation",))
    plain, one, same, other = (
        read.batch(EVERY, generator).x for generator in (None, *(torch.Generator().manual_seed(s) for s in (0, 0, 1)))
    )
    assert torch.equal(one, same) and not torch.equal(one, other) and not torch.equal(one, plain)
    assert torch.equal(data().batch(EVERY, torch.Generator().manual_seed(0)).x, plain)


def test_the_places_of_a_composition_are_those_of_a_crystal_of_it(table, data):
    read = data(composition="exact")
    numbers = [z.tolist() for z in table["atomic_numbers"]]
    known = set(np.concatenate(table.loc[table["split"] == "train", "atomic_numbers"].to_numpy()).tolist())
    rows = [i for i, z in enumerate(numbers) if set(z) <= known]
    asked = read.codec.request([numbers[i] for i in rows], {})
    torch.testing.assert_close(asked["places"], read.condition(EVERY)["places"][rows])


def test_requests_that_no_training_crystal_is_like_are_named(data):
    codec = data(composition="exact", conditions=("space_group",)).codec
    with pytest.raises(ValueError, match="condition 1: no training crystal has Lr; expected elements of B, "):
        codec.request([[5], [103]], {"space_group": torch.tensor([0, 0])})
    with pytest.raises(ValueError, match="it: 99 atoms; expected at most 8, the model's longest cell"):
        codec.check([5] * 99, which="it")
    with pytest.raises(ValueError, match="8 atoms of one element; expected at most 4, the layers of the model's table"):
        codec.check([5] * 8)
    with pytest.raises(ValueError, match=r"no training crystal has space group 2; expected one of \[1, "):
        codec.request([[5]], {"space_group": torch.tensor([2])})


def test_a_file_of_another_representation_or_of_none_is_named(table, tmp_path):
    save_tensors(matrix_tensors(table.assign(formation_energy_per_atom=0.0)), tmp_path / "m.safetensors")
    with pytest.raises(ValueError, match="m.safetensors: lacks .*place.*; expected tensors of the representation unimat"):
        UniMatData(tmp_path / "m.safetensors")
    (tmp_path / "t.safetensors").write_text("no tensors")
    with pytest.raises(ValueError, match="t.safetensors: not a file of tensors"):
        UniMatData(tmp_path / "t.safetensors")
    with pytest.raises(FileNotFoundError, match="none.safetensors: no such file; expected tensors"):
        UniMatData(tmp_path / "none.safetensors")
