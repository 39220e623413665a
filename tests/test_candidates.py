"""Candidates as structure files and in their figure: none is lost or changed."""

import numpy as np
import pandas as pd
from pymatgen.core import Structure
from search_case import found_candidates

from crystalgen.crystals import structure_from_file, to_structures
from crystalgen.experiments import search_summary
from crystalgen.report.figures import candidate_strips


def _sites(structure: Structure) -> np.ndarray:
    """Atomic number and coordinates of each site, sorted: a CIF brings the sites of an element together."""
    return np.array(sorted([site.specie.Z, *(site.frac_coords % 1)] for site in structure))


def test_candidates_are_written_as_they_are(tmp_path):
    candidates = found_candidates()
    (tmp_path / "99-old-run.cif").write_text("stale")
    table = search_summary.write_candidates(candidates, ["Ta1W1B6"], 3, tmp_path)
    assert table["file"].tolist() == [f"{i:02d}-Ta1W1B6-flow.cif" for i in (1, 2, 3)]
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([*table["file"], "candidates.csv"])
    for name, original in zip(table["file"], to_structures(candidates), strict=False):
        read = structure_from_file(tmp_path / name)
        np.testing.assert_allclose(read.lattice.abc, original.lattice.abc, atol=1e-7)
        np.testing.assert_allclose(_sites(read), _sites(original), atol=1e-7)
    first = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    search_summary.write_candidates(candidates, ["Ta1W1B6"], 3, tmp_path)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == first
    written = pd.read_csv(tmp_path / "candidates.csv")
    assert written["e_above_hull"].tolist() == [-0.0123, -0.002, 0.05]


def test_nothing_found_is_no_error(tmp_path):
    table = search_summary.write_candidates(found_candidates().head(0), ["Ta1W1B6"], 3, tmp_path)
    assert table.empty


def test_the_figure_shows_every_candidate():
    found = found_candidates()
    figure = candidate_strips(found.assign(model=found["row"]))
    drawn = sum(len(collection.get_offsets()) for collection in figure.axes[0].collections)
    assert drawn == len(found) == 5
    assert {text.get_text() for text in figure.axes[0].texts} == {"n = 4", "n = 1"}
