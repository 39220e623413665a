"""Verdicts beside those of DiffCSP's, OMatG's and MatterGen's own scripts on the same crystals, where these lie beside the checkout."""

import json

import numpy as np
import pandas as pd
import pytest
from conftest import SHARED_DATA
from pymatgen.core import Lattice

from crystalgen.crystals import from_columns
from crystalgen.matching.match import CSP, Tolerances, match_pairs, reduce_table
from crystalgen.matching.novelty import corrected_rms, nearest_sample, nearest_target, unique_classes

SETS = {"perov_5": ["ref", "n010", "broken", "mix"], "mp_20": ["ref", "n010", "n030", "strain", "swap", "broken", "mix"]}
COMPARED = 100  # crystals of a set that OMatG's script was given


@pytest.fixture(scope="module")
def peers():
    folder = SHARED_DATA.parent / "peers_check"
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent: what other scripts said is not part of the repository")
    return folder


@pytest.fixture(scope="module")
def said(peers):
    return json.loads((peers / "results.json").read_text())


def _read(folder, name: str) -> pd.DataFrame:
    rows = json.loads((folder / f"{name}.json").read_text())
    lattices = [Lattice.from_parameters(*row["lengths"], *row["angles"]).matrix for row in rows]
    return from_columns(lattices, [np.array(row["z"]) for row in rows], [np.array(row["frac"]) for row in rows], name)


@pytest.mark.parametrize(("benchmark", "name"), [(benchmark, name) for benchmark, names in SETS.items() for name in names])
def test_matches_are_diffcsps(peers, said, benchmark, name):
    theirs = said[f"diffcsp-{benchmark}"][name]
    samples, targets = _read(peers, f"{benchmark}-{name}"), _read(peers, f"{benchmark}-ref")
    strict, lax = (match_pairs(samples, targets, tolerances, workers=1) for tolerances in (Tolerances(), CSP))
    assert strict["matched"].tolist() == [verdict is True for verdict in theirs["fit_strict"]]  # others name what their script raised
    assert lax["matched"].tolist() == [isinstance(rms, float) for rms in theirs["rms_csp"]]
    expected = [rms for rms in theirs["rms_csp"] if isinstance(rms, float)]
    np.testing.assert_allclose(lax["rms"][lax["matched"]], expected, atol=1e-4)


@pytest.mark.parametrize("benchmark", SETS)
def test_metre_and_crmse_are_omatgs(peers, said, benchmark):
    cells, known = (reduce_table(_read(peers, f"{benchmark}-{name}").head(COMPARED), workers=1) for name in ("mix", "ref"))
    for key, tolerances in (("csp", CSP), ("strict", Tolerances(by_rms=True))):
        metre, rms, *_, crmse, _ = said[f"omatg-{benchmark}"]["mix"][f"metre_{key}"]
        found = nearest_sample(cells, known, tolerances, workers=1)
        assert found["matched"].mean() == metre
        assert found["rms"].mean() == pytest.approx(rms, abs=1e-5)
        assert corrected_rms(found, tolerances).mean() == pytest.approx(crmse, abs=1e-5)


@pytest.mark.parametrize("name", ["mix", "broken"])
@pytest.mark.parametrize("benchmark", SETS)
def test_unique_and_novel_crystals_are_mattergens(peers, said, benchmark, name):
    theirs = said[f"mattergen-{benchmark}"][name]
    samples = _read(peers, f"{benchmark}-{name}").iloc[theirs["finite"]]
    cells, known = reduce_table(samples, workers=1), reduce_table(_read(peers, f"{benchmark}-ref"), workers=1)
    assert (unique_classes(cells, workers=1) == np.arange(len(cells))).tolist() == theirs["ordered"]["unique"]
    assert (~nearest_target(cells, known, workers=1, with_rms=False)["matched"]).tolist() == theirs["ordered"]["novel"]
