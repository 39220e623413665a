"""Of several crystals that a model draws for a target, the one whose energy is nearest to the energy asked for.

Where a composition has several arrangements of one space group, the energy alone says which of them is meant. A network that is told
the energy as one number among many learns that slowly; a regression that is shown whole crystals learns it in seconds
(`stability.learned_energy`). No energy but those of the training crystals, and the one asked for, is used.
"""

import numpy as np
import pandas as pd

from crystalgen.generative.checkpoint import Model
from crystalgen.generative.data.format import TEST
from crystalgen.generative.settings import Sampling
from crystalgen.represent.generate import evaluation_requests, generate_for_requests, sample_row
from crystalgen.stability.learned_energy import LearnedEnergies

ERROR = 0.1  # eV/atom, of a learnt energy
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
    learnt = LearnedEnergies(crystals[crystals["split"] == "train"])
    target = samples["request"].astype(int).to_numpy() // sampling.candidates
    kept = choose(learnt.predict(samples), _asked(samples, requests, crystals, learnt), target, samples["seed"].to_numpy())
    chosen = samples.iloc[kept].assign(request=target[kept].astype(str)).reset_index(drop=True)
    return chosen, record | {"requested": record["requested"] // sampling.candidates, "decoded": len(chosen)}


def choose(energies: np.ndarray, asked: np.ndarray, target: np.ndarray, seed: np.ndarray) -> np.ndarray:
    """Return the rows (int) that are chosen, one for each target and seed.

    The score is the likelihood of the energy asked for, given the learnt one of error `ERROR`, times how many candidates of the target
    have the same energy, which is how probable the network takes the arrangement to be. Ties keep the first.

    energies, asked: eV/atom, (n,); target, seed: (n,), what the candidates are of.
    """
    kept = []
    for rows in pd.Series(np.arange(len(energies))).groupby([seed, target]).agg(list):
        own = energies[rows]
        votes = np.exp(-(((own[:, None] - own) / SAME) ** 2) / 2).sum(axis=1)
        kept.append(rows[int(np.argmax(np.log(votes) - ((own - asked[rows]) / ERROR) ** 2 / 2))])
    return np.sort(np.array(kept, dtype=int))


def _asked(samples: pd.DataFrame, requests: pd.DataFrame, crystals: pd.DataFrame, learnt: LearnedEnergies) -> np.ndarray:
    """The energy asked of each sample; for a modification the learnt one of the input, and the difference asked for."""
    known = crystals.set_index("id")
    wanted = known["formation_energy_per_atom"]
    asked = wanted.loc[samples["target_id"]].to_numpy()
    if "input_id" not in requests:
        return asked
    inputs = requests.set_index("request")["input_id"].loc[samples["request"]].to_numpy()
    names = np.unique(inputs)
    found = pd.Series(learnt.predict(known.loc[names]), names)
    return found.loc[inputs].to_numpy() + asked - wanted.loc[inputs].to_numpy()
