"""An energy that a potential invents is refused at every door, in the same words, and is never stable, unique and novel."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from conftest import generic
from pymatgen.core import Structure
from search_case import SOURCE, boride_library, search_settings

from crystalgen.cli import main
from crystalgen.config import Energies, Guidance
from crystalgen.crystals import from_structures, read_crystals, to_structures, write_crystals
from crystalgen.crystals.plausibility import implausible, without_implausible
from crystalgen.experiments import generate_crystals, guidance, search
from crystalgen.experiments.generate_crystals import Request
from crystalgen.experiments.relaxed_sets import relax_sets
from crystalgen.generative.settings import Sampling
from crystalgen.library import build
from crystalgen.potentials import relaxation, single_point
from crystalgen.stability.hull import Hull
from crystalgen.utils import paths

WHY = {
    "contact": "atoms closer than 0.5 of the sum of their radii",
    "formation": "a formation energy beyond 5 eV/atom",
    "below": "an energy more than 0.5 eV/atom below the hull",
}
ELEMENTS, HULL = -8.75, -0.4  # eV/atom: TaWB2's elements, and its formation energy in `boride_library`
SANE = ELEMENTS + HULL - 0.15  # of everything else: stable
ENERGY = {"contact": SANE, "formation": ELEMENTS - 5.2, "below": ELEMENTS + HULL - 0.6}
SPECIES = ["Ta", "W", "B", "B"]


@pytest.fixture(params=WHY)
def case(request, monkeypatch, tmp_path):
    """A sane crystal, one that relaxes to the implausible one, that one; potentials that find its energy, and a place for results."""
    sane, start = generic(0, SPECIES), generic(1, SPECIES)
    odd = start.copy().scale_lattice(0.98 * start.volume)
    if request.param == "contact":
        odd = Structure(odd.lattice, SPECIES, [[0, 0, 0], [0, 0, 0.9 / odd.lattice.c], *odd.frac_coords[2:]])

    def is_like(one, other):
        return abs(one.volume - other.volume) < 1e-5

    def relax(structure, fmax, max_steps, guard, calculator):
        guard(structure.to_ase_atoms())
        return odd if is_like(structure, start) else structure, True, 3

    def energies(structures):
        return np.array([ENERGY[request.param] if is_like(structure, odd) else SANE for structure in structures])

    monkeypatch.setattr(relaxation, "minimise", relax)
    monkeypatch.setattr(single_point, "energies_per_atom", energies)
    monkeypatch.setattr(paths, "INTERIM", tmp_path / "interim")
    monkeypatch.setattr(paths, "LIBRARY", tmp_path / "library")
    library = boride_library()
    write_crystals(library, tmp_path / "library" / "crystals.parquet")
    table = from_structures([sane, odd], "s", composition="Ta1W1B2", row="flow", ladder="fine", asked_formation_energy_per_atom=-0.5,
                            asked_space_group=pd.array([1, 1], dtype="Int16"))  # fmt: skip
    return SimpleNamespace(kind=request.param, why=WHY[request.param], table=table, start=start, library=library, hull=Hull(library))


def refused(case, table: pd.DataFrame, status: str = "status", prefix: str = "") -> None:
    """The second crystal has the reason and no energy; the first has its own."""
    assert table[status].iloc[1] == prefix + case.why
    energies = [name for name in ("energy_per_atom", "formation_energy_per_atom", "e_above_hull", "energy") if name in table]
    assert energies and table[energies].iloc[1].isna().all() and table[energies].iloc[0].notna().all()
    assert case.why not in table[status].iloc[0]


def test_the_library_drops_it(case):
    """Nothing lies below the library's own hull, which is drawn from all that it holds."""
    energies = [*case.library["energy_per_atom"], SANE, ENERGY[case.kind]]
    table = from_structures([*to_structures(case.library), *to_structures(case.table)], "s", energy_per_atom=energies)
    lost = set(table["id"]) - set(build.drop_implausible(table)["id"])
    assert lost == (set() if case.kind == "below" else {"s-5"})


def test_the_search_refuses_it_as_generated(case, tmp_path):
    rated = search.rate_generated(case.table, case.hull, tmp_path)
    refused(case, rated)
    assert rated["energy_source"].tolist() == [SOURCE, None]
    assert search.choose_for_relaxation(rated, search_settings())["id"].tolist() == ["s-0"]


def test_the_search_keeps_the_crystal_as_generated_that_relaxes_to_it(case, tmp_path):
    generated = case.table.assign(**from_structures([to_structures(case.table)[0], case.start], "s")[["lattice", "frac_coords"]])
    rated = search.rate_generated(generated, case.hull, tmp_path)
    found = search.relax_lowest(rated, case.hull, case.library, search_settings(), tmp_path).set_index("id")
    assert found.loc["s-1", "relaxation"] == f"failed: {case.why}"
    assert found.loc["s-1", "geometry"] == "as generated"
    assert found.loc["s-1", "e_above_hull"] == pytest.approx(-0.15)
    np.testing.assert_array_equal(found.loc["s-1", "lattice"], generated["lattice"][1])


def test_the_stage_energies_refuses_it(case, tmp_path):
    refused(case, relax_sets(case.table, case.hull, Energies(rows=("flow",), workers=1), tmp_path), "relaxation", "failed: ")


@pytest.mark.parametrize("relax", [False, True])
def test_generate_refuses_it(case, relax):
    refused(
        case,
        generate_crystals._rated(case.table, Request("Ta1W1B2", relax=relax, workers=1), case.hull),
        prefix="failed: " if relax else "",
    )


def test_relax_refuses_it(case, tmp_path):
    write_crystals(case.table, tmp_path / "mine.parquet")
    assert main(["relax", str(tmp_path / "mine.parquet"), "--workers", "1", "--out", str(tmp_path / "out")]) == 0
    refused(case, read_crystals(tmp_path / "out" / "crystals.parquet"), "relaxation", "failed: ")
    refused(case, pd.read_csv(tmp_path / "out" / "relaxation.csv"), "relaxation", "failed: ")


def evaluated(table: pd.DataFrame, library: pd.DataFrame, folder, *options: str) -> tuple[pd.DataFrame, dict]:
    """What `crystalgen evaluate` writes of each crystal, and its metrics."""
    write_crystals(table, folder / "mine.parquet")
    write_crystals(library, folder / "reference.parquet")
    command = ["evaluate", str(folder / "mine.parquet"), "--reference", str(folder / "reference.parquet"), "--cutoffs", "none"]
    assert main([*command, "--workers", "1", "--out", str(folder / "out"), *options]) == 0
    values = json.loads((folder / "out" / "metrics.json").read_text())["metrics"]
    crystals = pd.read_csv(folder / "out" / "crystals.csv").fillna({"energy_status": ""})
    return crystals, {name: metric["value"] for name, metric in values.items()}


def test_evaluate_refuses_it_and_does_not_count_it_as_stable(case, tmp_path):
    crystals, metrics = evaluated(case.table, case.library, tmp_path, "--energies")
    refused(case, crystals, "energy_status")
    assert metrics["unique"] == metrics["novel"] == 1
    assert metrics["stable"] == metrics["stable_unique_novel"] == metrics["metastable_unique_novel"] == 0.5


@pytest.mark.parametrize("options", [(), ("--energies",)])
def test_energies_that_a_table_brings_are_refused_alike(case, tmp_path, options):
    formation = np.array([SANE, ENERGY[case.kind]]) - ELEMENTS
    brought = {"energy_per_atom": formation + ELEMENTS, "formation_energy_per_atom": formation, "e_above_hull": formation - HULL}
    crystals, metrics = evaluated(case.table.assign(**brought, energy_source=SOURCE), case.library, tmp_path, *options)
    refused(case, crystals, "energy_status")
    assert metrics["stable_unique_novel"] == 0.5


def test_guidance_refuses_it(case, tmp_path, monkeypatch):
    monkeypatch.setattr(guidance, "generate_for_energies", lambda *given: (case.table, None))
    sampling = Sampling(sampler="ddim", steps=2)
    settings = Guidance(row="flow", energies=(-0.5,), weights=(0.0,), count=2)
    refused(case, guidance.energies_by_weight(settings, None, sampling, case.hull, tmp_path))


def test_what_is_not_known_is_not_held_against_a_crystal(case):
    table = case.table.assign(formation_energy_per_atom=[4.9, np.nan], e_above_hull=[-0.49, np.nan])
    assert implausible(table).tolist() == ["", case.why if case.kind == "contact" else ""]
    assert implausible(table.drop(columns=["formation_energy_per_atom", "e_above_hull"]).head(0)).tolist() == []


def test_a_crystal_without_an_energy_keeps_its_status(case):
    nothing = case.table.assign(relaxation=["failed: no memory", "failed: took longer than 5 s"], e_above_hull=np.nan)
    pd.testing.assert_frame_equal(without_implausible(nothing, "relaxation", "failed: "), nothing)
