"""Match verdicts: those of pymatgen's StructureMatcher, pair by pair, whatever the samples are."""

import numpy as np
import pandas as pd
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher

from crystalgen.crystals import from_structures, to_structures
from crystalgen.matching import match
from crystalgen.matching.match import Tolerances, pair_requests

COLUMNS = ["request", "target_id", "seed", "sample_id", "sampled", "formula", "nsites", "matched", "rms", "reason"]


def samples_of(table: pd.DataFrame, **changes) -> pd.DataFrame:
    """Copies of the table's crystals as samples of themselves."""
    return table.assign(request=table["id"], id=[f"sample-{i}" for i in range(len(table))], seed=0, **changes)


def match_each(samples: pd.DataFrame, targets: pd.DataFrame, tolerances: Tolerances = Tolerances(), workers: int = 2) -> pd.DataFrame:
    """Verdicts on samples of which each target was asked for once, by its id, with one training seed."""
    requests = pd.DataFrame({"request": targets["id"].to_numpy(), "target_id": targets["id"].to_numpy()})
    return pair_requests(targets, samples, requests, [0], workers).match(tolerances, workers)


def _moved(table, amount, seed=0):
    """Atoms displaced by about `amount` Å."""
    rng = np.random.default_rng(seed)
    columns = zip(table["lattice"], table["frac_coords"], strict=True)
    return [x + rng.normal(0, amount / 3**0.5, x.shape) @ np.linalg.inv(m) for m, x in columns]


def _strained(table, amount, seed=0):
    rng = np.random.default_rng(seed)
    return [m @ (np.eye(3) + rng.normal(0, amount, (3, 3))) for m in table["lattice"]]


def _swapped(table):
    """The two rarest kinds of atoms change places; the composition stays where their counts are equal."""
    swapped = []
    for z in table["atomic_numbers"]:
        kinds = sorted(set(z.tolist()), key=lambda k, z=z: (np.sum(z == k), k))
        other = {kinds[0]: kinds[-1 if len(kinds) == 2 else 1], kinds[-1 if len(kinds) == 2 else 1]: kinds[0]}
        swapped.append(np.array([other.get(int(k), int(k)) for k in z], dtype=z.dtype))
    return swapped


def test_verdicts_are_those_of_pymatgen(crystals):
    """236 pairs: exact copies to near misses and beyond, strained cells, swapped species."""
    changes = [{"frac_coords": _moved(crystals, a, seed=i)} for i, a in enumerate((0.3, 0.9, 1.4))]
    changes += [{"lattice": _strained(crystals, 0.08)}]
    matcher, verdicts, expected = StructureMatcher(), [], []
    for change in changes:
        samples = samples_of(crystals, **change)
        verdicts.append(match_each(samples, crystals, workers=1))
        pairs = zip(to_structures(samples), to_structures(crystals), strict=True)
        expected += [matcher.fit(sample, target) for sample, target in pairs]
    verdicts = pd.concat(verdicts)
    assert verdicts["matched"].tolist() == expected
    assert len(expected) > 200
    assert 40 < sum(expected) < len(expected) - 40, "both verdicts are tried"
    assert (verdicts["rms"].notna() == verdicts["matched"]).all()
    assert (verdicts["reason"] == "").all()


def test_another_description_of_a_crystal_matches(crystals):
    rng = np.random.default_rng(3)
    orders = [rng.permutation(n) for n in crystals["nsites"]]
    samples = samples_of(
        crystals,
        frac_coords=[x[o] + rng.random(3) + rng.integers(-3, 4, (len(o), 3)) for x, o in zip(crystals["frac_coords"], orders, strict=True)],
        atomic_numbers=[z[o] for z, o in zip(crystals["atomic_numbers"], orders, strict=True)],
        lattice=[1.07 * m @ np.linalg.qr(rng.normal(size=(3, 3)))[0] for m in crystals["lattice"]],
    )
    verdicts = match_each(samples, crystals)
    assert verdicts["matched"].all()
    np.testing.assert_allclose(verdicts["rms"], 0, atol=1e-6)


def test_a_sheared_cell_of_the_same_lattice_matches(crystals):
    structures = [s.copy() for s in to_structures(crystals)]
    for structure in structures:
        structure.make_supercell([[1, 0, 0], [1, 1, 0], [0, -1, 1]])
    samples = from_structures(structures, "s", request=crystals["id"].to_numpy(), seed=0)
    assert match_each(samples, crystals)["matched"].all()


def test_a_cell_built_twice_is_the_same_crystal(crystals):
    structures = [s.copy() for s in to_structures(crystals)]
    for structure in structures:
        structure.make_supercell([2, 1, 1])
    verdicts = match_each(from_structures(structures, "s", request=crystals["id"].to_numpy(), seed=0), crystals)
    assert verdicts["matched"].all()
    np.testing.assert_allclose(verdicts["rms"], 0, atol=1e-5)


def test_swapped_elements_do_not_match(crystals):
    """Swapped places of two species that stand on different sites make another crystal of the same composition."""
    polar = crystals[crystals["prototype"].isin(["triclinic", "perovskite"])].reset_index(drop=True)
    swapped = _swapped(polar)
    verdicts = match_each(samples_of(polar, atomic_numbers=swapped), polar)
    assert (verdicts["reason"] == "").all()
    triclinic = (polar["prototype"] == "triclinic").to_numpy()
    matcher = StructureMatcher()
    expected = [matcher.fit(*pair) for pair in zip(to_structures(polar.assign(atomic_numbers=swapped)), to_structures(polar), strict=True)]
    assert verdicts["matched"].tolist() == expected
    assert not verdicts.loc[triclinic, "matched"].any()


def test_other_elements_in_the_same_places_do_not_match(crystals):
    other = samples_of(crystals.head(20))
    other["atomic_numbers"] = [np.where(z == z[0], 47, z).astype(z.dtype) for z in other["atomic_numbers"]]
    other = from_structures(to_structures(other), "s", request=other["request"].to_numpy(), seed=0)
    verdicts = match_each(other, crystals.head(20))
    assert not verdicts["matched"].any()
    assert set(verdicts["reason"]) == {""}


def test_a_target_without_a_sample_counts_as_not_matched(crystals):
    verdicts = match_each(samples_of(crystals).iloc[10:], crystals)
    assert list(verdicts.columns) == COLUMNS
    assert verdicts["target_id"].tolist() == crystals["id"].tolist()
    assert verdicts["matched"].tolist() == [False] * 10 + [True] * (len(crystals) - 10)
    assert verdicts["sampled"].tolist() == verdicts["matched"].tolist()
    assert set(verdicts["reason"].head(10)) == {"no sample"}


def test_no_sample_at_all_is_a_table_of_failures(crystals):
    verdicts = match_each(samples_of(crystals).head(0), crystals)
    assert len(verdicts) == len(crystals)
    assert not verdicts["matched"].any()


def test_each_seed_and_request_of_a_target_has_a_row(crystals):
    target = crystals.head(1)
    requests = pd.DataFrame({"request": ["a", "b"], "target_id": target["id"].iloc[0]})
    samples = pd.concat([target, target.assign(lattice=_strained(target, 0.5)), target], ignore_index=True)
    samples = samples.assign(id=["x", "y", "z"], request=["b", "a", "b"], seed=[5, 5, 2])
    verdicts = pair_requests(crystals, samples, requests, [5, 2]).match()
    assert verdicts[["seed", "request"]].to_numpy().tolist() == [[5, "a"], [5, "b"], [2, "a"], [2, "b"]]
    assert verdicts["sample_id"].fillna("").tolist() == ["y", "x", "", "z"]
    assert verdicts["matched"].tolist() == [False, True, False, True]


def test_workers_and_chunks_do_not_change_verdicts(crystals, monkeypatch):
    samples = samples_of(crystals, frac_coords=_moved(crystals, 0.9))
    one = match_each(samples, crystals, workers=1)
    monkeypatch.setattr(match, "_PAIRS", 7)
    pd.testing.assert_frame_equal(one, match_each(samples, crystals, workers=2), check_exact=True)


BROKEN = {
    "NaN coordinates": ("frac_coords", lambda row: row["frac_coords"] * np.nan),
    "NaN lattice": ("lattice", lambda row: row["lattice"] * np.nan),
    "no volume": ("lattice", lambda row: row["lattice"] * 0),
    "atoms on one place": ("frac_coords", lambda row: row["frac_coords"] * 0),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_sample_is_a_row_and_not_the_end_of_the_table(crystals, fault):
    column, spoil = BROKEN[fault]
    targets = crystals[crystals["prototype"] == "triclinic"].reset_index(drop=True)
    samples = samples_of(targets)
    values = list(samples[column])
    values[1] = spoil(samples.iloc[1])
    samples[column] = values
    verdicts = match_each(samples, targets)
    assert verdicts["matched"].tolist() == [i != 1 for i in range(len(targets))]
    if fault != "atoms on one place":
        assert verdicts["reason"][1] != ""


def test_tolerances_are_the_matchers(crystals):
    samples = samples_of(crystals, frac_coords=_moved(crystals, 0.3))
    lax, strict = match_each(samples, crystals), match_each(samples, crystals, Tolerances(stol=0.001))
    assert strict["matched"].sum() < lax["matched"].sum()
