"""The denoiser that ships for Carbon-24: crystals shaken out of place go back to where they were."""

import numpy as np
import pytest

from crystalgen.corrector.denoising import TrainedDenoiser, cells_of, denoised
from crystalgen.corrector.settling import doubt
from crystalgen.crystals import read_crystals
from crystalgen.matching.match import Tolerances, match_cells, reduce_table
from crystalgen.utils import paths

FOLDER = paths.SHIPPED / "carbon_24_unimat"
SHAKEN = 0.12  # Å on each coordinate


@pytest.fixture(scope="module")
def trained():
    return TrainedDenoiser.load(FOLDER / "denoiser")


def test_shaken_crystals_return(trained):
    table = read_crystals(FOLDER / "samples" / "unimat_drawn_1000.parquet").sample(24, random_state=0).reset_index(drop=True)
    rng, coords = np.random.default_rng(0), []
    for lattice, sites, _ in cells_of(table):
        coords.append(sites + rng.normal(0, SHAKEN, sites.shape) @ np.linalg.inv(lattice))
    shaken = table.assign(frac_coords=coords)
    assert np.median(doubt(trained, shaken)) > 20 * np.median(doubt(trained, table))
    found = denoised(trained, shaken, noise=0.05)
    targets, same = reduce_table(table, 1), Tolerances(0.05, 0.1, 3.0)

    def returned(crystals):
        return match_cells(reduce_table(crystals, 1), targets, [(row, row) for row in range(len(table))], same, 1)["matched"].mean()

    assert returned(shaken) < 0.3 and returned(found) > 0.7
