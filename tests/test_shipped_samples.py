"""Crystals that ship as samples of the unconditional rows: what they are, and that they are as good as their rows say."""

import json

import pytest

from crystalgen.crystals import read_crystals
from crystalgen.datasets.generated import read_generated
from crystalgen.metrics.validity import structure_validity
from crystalgen.utils import paths

ROWS = [
    ("perov_5_unimat", "unimat"),
    ("perov_5_unimat", "unimat_settled"),
    ("perov_5_unimat", "unimat_drawn"),
    ("carbon_24_unimat", "unimat_settled"),
    ("carbon_24_unimat", "unimat_drawn_1000"),
    ("mp_20_unimat", "unimat"),
    ("mp_20_unimat", "unimat_settled"),
    ("mp_20_unimat", "unimat_drawn"),
]


@pytest.mark.parametrize("study, row", ROWS)
def test_a_thousand_are_as_valid_as_their_row(study, row):
    table = read_crystals(paths.SHIPPED / study / "samples" / f"{row}.parquet")
    said = json.loads((paths.REPORTS / study / "rows.json").read_text())[f"{row}.structure_validity"]["value"]
    assert len(table) == 1000 and table["id"].is_unique
    assert structure_validity(table).mean() == pytest.approx(said, abs=0.025)


def test_the_bundle_for_lemat_genbench_is_read_whole():
    found, broken = read_generated(paths.SHIPPED / "mp_20_unimat" / "lemat-genbench.csv.gz")
    samples = read_crystals(paths.SHIPPED / "mp_20_unimat" / "samples" / "unimat_drawn.parquet")
    assert len(found) == 2500 and broken.empty
    assert found["formula"].head(1000).tolist() == samples["formula"].tolist()
