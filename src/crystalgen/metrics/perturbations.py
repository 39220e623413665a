"""Altered copies of crystals, whose relation to them is known: what a metric says about them shows what it measures."""

import numpy as np
import pandas as pd

from crystalgen.crystals import from_structures, to_structures


def moved(table: pd.DataFrame, rng: np.random.Generator, amount: float | None = None) -> pd.DataFrame:
    """Displace atoms by about `amount` in units of (volume / sites)^(1/3); if None, each crystal by its own, from 0 to 0.35."""
    coords = []
    for lattice, x in zip(table["lattice"], table["frac_coords"], strict=True):
        unit = (abs(np.linalg.det(lattice)) / len(x)) ** (1 / 3)
        size = rng.uniform(0, 0.35) if amount is None else amount
        coords.append(x + rng.normal(0, size * unit / 3**0.5, x.shape) @ np.linalg.inv(lattice))
    return table.assign(frac_coords=coords)


def strained(table: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Deform cells, from not at all to beyond the tolerances of a matcher."""
    return table.assign(lattice=[m @ (np.eye(3) + rng.normal(0, rng.uniform(0, 0.15), (3, 3))) for m in table["lattice"]])


def redescribed(table: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Describe the same crystals anew: turned, moved, expanded, their atoms in another order."""
    orders = [rng.permutation(n) for n in table["nsites"]]
    return table.assign(
        lattice=[1.07 * m @ np.linalg.qr(rng.normal(size=(3, 3)))[0] for m in table["lattice"]],
        frac_coords=[x[o] + rng.random(3) for x, o in zip(table["frac_coords"], orders, strict=True)],
        atomic_numbers=[z[o] for z, o in zip(table["atomic_numbers"], orders, strict=True)],
    )


def doubled(table: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Return cells of twice the volume, half of them with atoms moved by up to 0.15 Å: a smaller cell is found, or just not."""
    structures = []
    for structure in to_structures(table):
        built = structure.make_supercell(np.diag(rng.permutation([2, 1, 1])), in_place=False)
        if rng.random() < 0.5:
            built.perturb(rng.uniform(0, 0.15), seed=len(structures))  # pymatgen draws the directions itself
        structures.append(built)
    return from_structures(structures, "doubled", id=table["id"].tolist())


def swapped(table: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Elements dealt to the places anew: the composition stays."""
    return table.assign(atomic_numbers=[rng.permutation(z) for z in table["atomic_numbers"]])


def polymorphs(table: pd.DataFrame, count: int, rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Random pairs of crystals of one formula, from the more formulas of many crystals."""
    groups = [g.to_numpy() for _, g in pd.Series(np.arange(len(table))).groupby(table["formula"].to_numpy()) if len(g) > 1]
    sizes = np.array([len(g) for g in groups], float)
    chosen = [rng.choice(groups[i], 2, replace=False) for i in rng.choice(len(groups), count, p=sizes / sizes.sum())]
    one, other = np.array(chosen).T
    return table.iloc[one].reset_index(drop=True), table.iloc[other].reset_index(drop=True)


_SHARES = {"polymorphs": 0.3, "moved": 0.25, "strained": 0.15, "redescribed": 0.1, "doubled": 0.1, "swapped": 0.1}
_CHANGES = {"moved": moved, "strained": strained, "redescribed": redescribed, "doubled": doubled, "swapped": swapped}


def mixed_pairs(table: pd.DataFrame, count: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray]:
    """About `count` pairs of all of these kinds: samples, their targets, and the kind of the pair in each row."""
    rng = np.random.default_rng(seed)
    samples, targets, kinds = [], [], []
    for kind, share in _SHARES.items():
        wanted = max(1, round(share * count))
        if kind == "polymorphs":
            target, sample = polymorphs(table, wanted, rng)
        else:
            target = table.iloc[rng.integers(0, len(table), wanted)].reset_index(drop=True)
            sample = _CHANGES[kind](target, rng)
        samples.append(sample)
        targets.append(target)
        kinds += [kind] * wanted
    return pd.concat(samples, ignore_index=True), pd.concat(targets, ignore_index=True), np.array(kinds)
