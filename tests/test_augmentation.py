"""Augmentation: another description, the same crystal."""

import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import generic
from pymatgen.analysis.structure_matcher import StructureMatcher

from crystalgen.crystals import from_columns, from_structures, to_structures
from crystalgen.datasets.tables import read_benchmark
from crystalgen.generative.data.augment import augment
from crystalgen.represent import unimat
from crystalgen.utils.lattice import lattices_from_parameters

KINDS = ("order", "axes", "translation")


def _described_anew(table: pd.DataFrame, kinds: tuple[str, ...], seed: int) -> tuple[list, unimat.Placed]:
    block = unimat.table_for(table)
    placed = unimat.encode(table, block)
    given = (torch.from_numpy(part) for part in (placed.place, placed.frac_coords, placed.cell))
    generator = torch.Generator().manual_seed(seed)
    place, coords, cell = (part.numpy() for part in augment(*given, kinds, block.elements.size, generator))
    changed = unimat.Placed(place, coords.astype(np.float32), cell)
    decoded = unimat.decode(unimat.dense(changed, block), cell, block)
    return to_structures(from_columns(*decoded, source="augmented")), changed


@pytest.mark.parametrize("name", ["perov_5", "carbon_24", "mp_20"])
def test_augmented_benchmark_crystals_are_the_same_crystals(shared_data, name):
    """500 real crystals in all: what a matcher with tight tolerances and the sets of distances say."""
    table = read_benchmark(shared_data / f"{name}.parquet").sample(167, random_state=3)
    table = table[table["nsites"] <= 20].reset_index(drop=True)
    matcher = StructureMatcher(ltol=0.01, stol=0.02, angle_tol=0.5, primitive_cell=False)
    after, _ = _described_anew(table, KINDS, seed=0)
    for before, changed in zip(to_structures(table), after, strict=True):
        assert changed.composition == before.composition
        np.testing.assert_allclose(np.sort(changed.distance_matrix.ravel()), np.sort(before.distance_matrix.ravel()), atol=5e-4)
        assert matcher.fit(before, changed)


IMAGES = np.array(list(itertools.product((-1, 0, 1), repeat=3)))


def _distances(placed: unimat.Placed, rows: np.ndarray, atoms: int, per_layer: int) -> np.ndarray:
    """Distances between all pairs of sites, (n, pairs), sorted within each pair of elements; the nearest of 27 images."""
    place, coords = placed.place[rows, :atoms] % per_layer, placed.frac_coords[rows, :atoms].astype(float)
    order = np.argsort(place, axis=1, kind="stable")
    place, coords = np.take_along_axis(place, order, 1), np.take_along_axis(coords, order[:, :, None], 1)
    lattices = lattices_from_parameters(placed.cell[rows])
    difference = coords[:, :, None] - coords[:, None]
    difference -= np.round(difference)
    near = np.linalg.norm((difference[..., None, :] + IMAGES) @ lattices[:, None, None], axis=-1).min(axis=-1)
    kind = (place[:, :, None] * per_layer + place[:, None]).reshape(len(rows), -1)
    near = near.reshape(len(rows), -1)
    return np.take_along_axis(near, np.lexsort((near, kind), axis=1), 1)


@pytest.mark.parametrize("name", ["perov_5", "carbon_24", "mp_20"])
def test_augmentation_keeps_every_distance_of_every_benchmark_crystal(shared_data, name):
    table = read_benchmark(shared_data / f"{name}.parquet")
    table = table[table["nsites"] <= 24].reset_index(drop=True)
    block = unimat.table_for(table)
    placed = unimat.encode(table, block)
    given = (torch.from_numpy(part) for part in (placed.place, placed.frac_coords, placed.cell))
    place, coords, cell = (part.numpy() for part in augment(*given, KINDS, block.elements.size, torch.Generator().manual_seed(0)))
    changed = unimat.Placed(place, coords, cell)
    worst = 0.0
    for atoms, rows in table.groupby("nsites").indices.items():
        for part in np.array_split(rows, max(1, len(rows) * atoms**2 // 200_000)):
            before, after = (_distances(one, part, int(atoms), block.elements.size) for one in (placed, changed))
            worst = max(worst, np.abs(before - after).max())
    assert worst < 1e-3


@pytest.mark.parametrize("seed", range(6))
def test_an_exchange_of_axes_does_not_give_the_mirror_image(seed):
    """Of a crystal without symmetry, signed volumes of four atoms tell the hands apart."""
    before = generic(8, ["Ta", "W", "B", "Ti"])
    (after,), _ = _described_anew(from_structures([before], "s"), ("axes",), seed)

    def hand(structure):
        found = {site.specie.symbol: site.coords for site in structure}
        ta, w, b, ti = (found[name] for name in ("Ta", "W", "B", "Ti"))
        images = structure.lattice.matrix
        shortest = [min((v + np.array([i, j, k]) @ images for i in (-1, 0, 1) for j in (-1, 0, 1) for k in (-1, 0, 1)), key=np.linalg.norm)
                    for v in (w - ta, b - ta, ti - ta)]  # fmt: skip
        return np.linalg.det(shortest)

    assert hand(after) == pytest.approx(hand(before), rel=1e-3)


@pytest.mark.parametrize("kinds", [(), *((kind,) for kind in KINDS)])
def test_each_kind_changes_what_it_says_and_nothing_else(crystals, kinds):
    placed = unimat.encode(crystals, unimat.table_for(crystals))
    _, changed = _described_anew(crystals, kinds, seed=1)
    held = placed.place >= 0
    assert (changed.place != placed.place).any() == ("order" in kinds)
    assert (changed.cell != placed.cell).any() == ("axes" in kinds)
    assert np.allclose(changed.frac_coords[held], placed.frac_coords[held], atol=1e-6) == (kinds in ((), ("order",)))
    np.testing.assert_array_equal(np.sort(changed.place, axis=1), np.sort(placed.place, axis=1))  # the same places are occupied
    assert ((changed.frac_coords >= 0) & (changed.frac_coords < 1)).all()


def test_every_exchange_of_axes_and_every_order_is_drawn():
    table = from_structures([generic(8, ["B", "B", "B", "Ti"])] * 300, "s", [str(i) for i in range(300)])
    _, changed = _described_anew(table, ("order", "axes"), seed=0)
    assert len({tuple(lengths) for lengths in changed.cell[:, :3].round(4)}) == 6
    assert len({tuple(places) for places in changed.place[:, :3]}) == 6
