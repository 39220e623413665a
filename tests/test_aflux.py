"""Fetching from AFLUX: every page once, every entry its crystal, the query's address, the command."""

import numpy as np
import pytest
from aflux_service import SIZE, Service, entry, run
from pymatgen.core import Lattice

from crystalgen.cli import main
from crystalgen.crystals import read_crystals
from crystalgen.datasets.aflux import AfluxError, Query


@pytest.mark.parametrize("typed", [True, False], ids=["typed", "texts"])
@pytest.mark.parametrize("shape", ["keyed", "list"])
def test_every_entry_of_either_shape_becomes_its_crystal(tmp_path, shape, typed):
    rows = [entry(i, typed) for i in range(12)]
    with Service(rows, shape) as service:
        record = run(service, tmp_path)
    table = read_crystals(tmp_path / "crystals.parquet")
    assert service.pages == [1, 2, 3]
    assert (record["kept"], record["received"], record["rejected"], record["complete"]) == (12, 12, [], True)
    assert table["id"].tolist() == [r["auid"] for r in rows]
    for crystal, row in zip(table.itertuples(), (entry(i, typed=True) for i in range(12)), strict=True):
        np.testing.assert_allclose(crystal.lattice, Lattice.from_parameters(*row["geometry"]).matrix)
        np.testing.assert_array_equal(crystal.frac_coords, row["positions_fractional"])
        assert crystal.space_group == row["spacegroup_relax"]
        assert crystal.formation_energy_per_atom == row["enthalpy_formation_atom"]
        assert (crystal.source, crystal.energy_source) == ("aflow", "AFLOW, PAW_PBE")
    assert table["atomic_numbers"][1].tolist() == [5] * rows_of(1)[0] + [73] * rows_of(1)[1] + [74] * rows_of(1)[2]


def rows_of(number: int) -> list[int]:
    return entry(number, typed=True)["composition"]


@pytest.mark.parametrize(("count", "keyed", "listed"), [(0, [1], [1]), (4, [1], [1]), (10, [1, 2], [1, 2, 3])])
def test_fetching_stops_at_a_short_or_empty_page(tmp_path, count, keyed, listed):
    """A keyed answer says how many there are; after a bare list that is full, there is no knowing without asking."""
    for shape, pages in (("keyed", keyed), ("list", listed)):
        with Service([entry(i) for i in range(count)], shape) as service:
            record = run(service, tmp_path / shape)
        assert service.pages == pages
        assert (record["kept"], record["complete"]) == (count, True)
        assert len(read_crystals(tmp_path / shape / "crystals.parquet")) == count


def test_the_address_asks_for_what_the_query_says(tmp_path):
    with Service([entry(0)]) as service:
        run(service, tmp_path, Query(species=("W", "B", "Ta"), nspecies=3, page_size=SIZE))
    query = service.paths[0].partition("?")[2]
    assert query.startswith("auid(*),species(B,Ta,W),composition(*),")
    assert query.endswith(",nspecies(3),dft_type,paging(1,5),format(json)")
    assert Query(("W", "B")) == Query(("B", "W", "B"))


@pytest.mark.parametrize("query", [{"species": ("Xx",)}, {"species": ("Ta),paging(0",)}, {"nspecies": 0}, {"page_size": 0}])
def test_a_senseless_query_is_refused_before_anything_is_asked(query):
    with pytest.raises(AfluxError, match="expected"):
        Query(**query)


def test_the_command_fetches_joins_and_tells(tmp_path, capsys):
    with Service([entry(i) for i in range(11)] + [entry(12, natoms="x")]) as service:
        arguments = ["fetch-aflow", "--url", service.url, "--folder", str(tmp_path), "--page-size", "5", "--rate", "1000"]
        assert main([*arguments, "--pages", "2"]) == 0
        assert "10 crystals of 10 entries on 2 pages" in (out := capsys.readouterr().out) and "goes on" in out
        assert main(arguments) == 0
        out = capsys.readouterr().out
        assert (
            "11 crystals of 12 entries on 3 pages" in out and "1 x natoms: Input should be a valid integer" in out and "goes on" not in out
        )
        assert main([*arguments, "--species", "Xx"]) == 1
        assert "crystalgen: species ['Xx']: expected element symbols" in capsys.readouterr().err
    assert len(read_crystals(tmp_path / "crystals.parquet")) == 11
