"""Of several crystals that a model draws for a target, the one whose energy fits the energy asked for.

Where a composition has several arrangements of one space group, the energy alone says which of them is meant. A network that is told
the energy as one number among many learns that slowly; a regression that is shown whole crystals learns it in seconds
(`stability.learned_energy`), and the potential that gave a library its energies knows it. Of the target, only the energy asked for is used.
"""

import numpy as np
import pandas as pd

from crystalgen.crystals import read_crystals, to_structures
from crystalgen.generative.checkpoint import Model
from crystalgen.generative.data.format import TEST
from crystalgen.generative.settings import Sampling
from crystalgen.potentials.registry import ENERGY, ENERGY_SOURCE
from crystalgen.represent.generate import evaluation_requests, generate_for_requests, sample_row
from crystalgen.stability.hull import Hull
from crystalgen.stability.learned_energy import LearnedEnergies
from crystalgen.utils import paths

ERRORS = {"learnt": 0.1, ENERGY: 0.01}  # eV/atom, of a drawn crystal's energy
SAME = 0.02  # eV/atom: crystals of a target closer than this speak for each other


def sample_and_choose(row: str, model: Model, sampling: Sampling, data, crystals: pd.DataFrame):
    """As `represent.generate.sample_row`, with one crystal for each target where `sampling.candidates` are to be chosen from."""
    if sampling.candidates == 1:
        return sample_row(row, model, sampling, data, crystals)
    requests, _ = evaluation_requests(data, crystals, sampling)
    return *chosen_for_targets(row, model, sampling, data, crystals), requests


def chosen_for_targets(row: str, model: Model, sampling: Sampling, data, crystals: pd.DataFrame, split: int = TEST):
    """Draw candidates for the split's targets by every training seed, and choose: samples and record, see `generate_for_requests`."""
    many = sampling.model_copy(update={"per_target": sampling.candidates})
    requests, items = evaluation_requests(data, crystals, many, split)
    samples, record = generate_for_requests(model, data, requests, items, many, row)
    target, seed = samples["request"].astype(int).to_numpy() // sampling.candidates, samples["seed"].to_numpy()
    if (by := sampling.candidate_energies) == "learnt":
        learnt = LearnedEnergies(crystals[crystals["split"] == "train"])
        energies, asked = learnt.predict(samples), _asked(samples, requests, crystals, learnt.predict)
    else:
        energies, asked = _by_potential(samples), _asked(samples, requests, crystals, None)
    kept = choose(energies, asked, target, seed, ERRORS[by])
    chosen = samples.iloc[kept].assign(request=target[kept].astype(str)).reset_index(drop=True)
    return chosen, record | {"requested": record["requested"] // sampling.candidates, "decoded": len(chosen)}


def choose(energies: np.ndarray, asked: np.ndarray, target: np.ndarray, seed: np.ndarray, error: float) -> np.ndarray:
    """Return the rows (int) that are chosen, one for each target and seed.

    The score is the likelihood of the energy asked for, given a candidate's own, times how many candidates of the target have the same
    energy, which is how probable the network takes the arrangement to be. Ties keep the first.

    energies, asked: eV/atom, (n,); target, seed: (n,), what the candidates are of; error: of the energies, eV/atom.
    """
    kept = []
    for rows in pd.Series(np.arange(len(energies))).groupby([seed, target]).agg(list):
        own = energies[rows]
        votes = np.exp(-(((own[:, None] - own) / SAME) ** 2) / 2).sum(axis=1)
        kept.append(rows[int(np.argmax(np.log(votes) - ((own - asked[rows]) / error) ** 2 / 2))])
    return np.sort(np.array(kept, dtype=int))


def _asked(samples: pd.DataFrame, requests: pd.DataFrame, crystals: pd.DataFrame, predict) -> np.ndarray:
    """The energy asked of each sample, eV/atom; for a modification that of the input, as `predict` gives it, and the difference."""
    wanted = crystals.set_index("id")["formation_energy_per_atom"]
    asked = wanted.loc[samples["target_id"]].to_numpy()
    if "input_id" not in requests or predict is None:
        return asked
    inputs = requests.set_index("request")["input_id"].loc[samples["request"]].to_numpy()
    names = np.unique(inputs)
    found = pd.Series(predict(crystals.set_index("id").loc[names]), names)
    return found.loc[inputs].to_numpy() + asked - wanted.loc[inputs].to_numpy()


def _by_potential(samples: pd.DataFrame) -> np.ndarray:
    """Formation energies by the library's potential; far off where there is none."""
    from crystalgen.potentials.single_point import energies_per_atom

    hull = Hull(read_crystals(paths.LIBRARY / "crystals.parquet"))
    found = hull.formation_energies(energies_per_atom(to_structures(samples)), samples["atomic_numbers"].tolist(), ENERGY_SOURCE)
    return np.where(np.isfinite(found), found, 1e3)
