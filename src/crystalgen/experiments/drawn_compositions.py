"""Compositions to generate crystals of, where nothing is asked: a training crystal's, some elements exchanged for similar ones.

The number of atoms, the stoichiometry and the space group are the training crystal's. How similar two elements are is learnt from the
training crystals (`retrieval.element_vectors`). What was neutral by SMACT's oxidation states stays so, and an alloy stays one. More
are drawn than wanted, and those are taken, by weights, that have each element as often as the training crystals have it.
"""

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax

from crystalgen.baselines.retrieval.element_vectors import mined_distances, mined_vectors
from crystalgen.baselines.retrieval.templates import ELEMENTS, Templates, atomic_volumes
from crystalgen.baselines.stoichiometry import ordered_species
from crystalgen.crystals import from_columns
from crystalgen.metrics.validity import alloy, neutral
from crystalgen.represent.canonical import species_keys
from crystalgen.utils.elements import SYMBOLS

TRIES = 50  # of another exchange for one training crystal; then another is drawn
SURPLUS = 3  # times as many are drawn as are taken
_RIDGE = 1e-3  # on the logarithms of the elements' weights
TEMPERATURE = 1.0  # of the weights exp(-distance / temperature) of another element


def draw_compositions(
    training: pd.DataFrame, count: int, seed: int = 0, share: float = 0.5, temperature: float = TEMPERATURE
) -> pd.DataFrame:
    """Draw compositions; of a set of one element, where nothing can be exchanged, those of training crystals.

    Args:
        training: crystals.
        count: of compositions, not all different.
        seed: of everything random.
        share: of the species of a training crystal that are exchanged, on average; at least one always is.
        temperature: the higher, the less similar the elements that are taken.

    Returns:
        count rows: atomic_numbers, in the order of canonical sites; space_group; formation_energy_per_atom, unknown; template_id, the
        training crystal; template_numbers, atomic numbers by its sites, after the exchange.
    """
    rng, templates = np.random.default_rng(seed), Templates(training, arrangements=False)
    weights = _weights(templates, temperature)
    numbers, found = training["atomic_numbers"].to_numpy(), []
    fixed = not weights.any()
    while len(found) < (count if fixed else SURPLUS * count):
        row = int(rng.integers(len(training)))
        exchanged = numbers[row] if fixed else _exchange(numbers[row], weights, share, rng)
        if exchanged is not None:
            found.append((row, exchanged))
    if not fixed:
        chances = _balanced([exchanged for _, exchanged in found], numbers)
        found = [found[place] for place in rng.choice(len(found), count, replace=False, p=chances)]
    rows = [row for row, _ in found]
    return pd.DataFrame(
        {
            "atomic_numbers": [exchanged[np.argsort(species_keys(exchanged), kind="stable")] for _, exchanged in found],
            "space_group": training["space_group"].to_numpy(dtype=np.int64, na_value=0)[rows],
            "formation_energy_per_atom": np.nan,
            "template_id": training["id"].to_numpy()[rows],
            "template_numbers": [exchanged for _, exchanged in found],
        }
    )


def _balanced(drawn: list[np.ndarray], numbers: np.ndarray) -> np.ndarray:
    """Return the chance of each drawn composition, (n,): the nearest to equal ones with the training crystals' mean of each element.

    Maximum entropy: chances are exponentials of a sum over elements, whose coefficients minimise a convex function. What the neutral
    exchanges open to an element make more common than it was, say fluorine where oxygen has few substitutes, is so taken back.
    """
    apart = _shares(drawn) - _shares(numbers).mean(axis=0)

    def entropy(coefficients: np.ndarray) -> tuple[float, np.ndarray]:
        scores = apart @ coefficients
        gradient = softmax(scores) @ apart + 2 * _RIDGE * coefficients
        return float(logsumexp(scores) + _RIDGE * coefficients @ coefficients), gradient

    return softmax(apart @ minimize(entropy, np.zeros(ELEMENTS), jac=True, method="L-BFGS-B").x)


def _shares(numbers: "list[np.ndarray] | np.ndarray") -> np.ndarray:
    """Return each element's share of the atoms by crystal, and in place 0, which is no element, the number of elements, (n, 120)."""
    shares = np.stack([np.bincount(atoms, minlength=ELEMENTS) / len(atoms) for atoms in numbers])
    shares[:, 0] = (shares > 0).sum(axis=1)
    return shares


def exchanged_templates(drawn: pd.DataFrame, training: pd.DataFrame) -> pd.DataFrame:
    """Return the training crystals of `draw_compositions` with their elements exchanged and their volumes scaled: what no model does.

    The volume is the template's, times the ratio of the sums of the elements' volumes, least squares over the training crystals.
    """
    volumes = atomic_volumes(training)
    template = training.set_index("id").loc[drawn["template_id"]]
    scales = [
        np.cbrt(volumes[new].sum() / volumes[old].sum())
        for new, old in zip(drawn["template_numbers"], template["atomic_numbers"], strict=True)
    ]
    lattices = [lattice * scale for lattice, scale in zip(template["lattice"], scales, strict=True)]
    return from_columns(lattices, list(drawn["template_numbers"]), list(template["frac_coords"]), "exchanged")


def _weights(templates: Templates, temperature: float) -> np.ndarray:
    """(120, 120): how often an element (row) gives way to another (column); as common as that one is, and as alike; metal for metal."""
    distances = mined_distances(mined_vectors(templates))[0]
    common = np.zeros(ELEMENTS)
    for numbers in templates.table["atomic_numbers"]:
        common[np.unique(numbers)] += 1
    metal = np.array([0 < z <= len(SYMBOLS) and alloy([SYMBOLS[z - 1]]) for z in range(ELEMENTS)])
    weights = np.exp(-distances / temperature) * common * (common > 0)[:, None] * (metal[:, None] == metal)
    np.fill_diagonal(weights, 0)
    return weights


def _exchange(numbers: np.ndarray, weights: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray | None:
    """Atomic numbers by site with some elements exchanged; None where that was tried in vain."""
    species, counts = ordered_species(numbers)
    if not weights[species].any():
        return None
    kind = _kind(species, counts)
    for _ in range(TRIES):
        chosen = rng.random(len(species)) < share
        chosen[rng.integers(len(species))] = True
        new = species.copy()
        for place in np.flatnonzero(chosen):
            likely = weights[species[place]].copy()
            likely[new] = 0
            if likely.any():
                other = rng.choice(ELEMENTS, p=likely / likely.sum())
                if rng.random() < weights[species[place]].sum() / weights[other].sum():  # Metropolis-Hastings: elements stay as common
                    new[place] = other
        if (new != species).any() and _kind(new, counts) == kind:
            mapping = np.arange(ELEMENTS)
            mapping[species] = new
            return mapping[numbers].astype(numbers.dtype)
    return None


def _kind(species: np.ndarray, counts: tuple[int, ...]) -> tuple[bool, bool]:
    """Whether a composition is neutral, and whether it is an alloy."""
    symbols, divisor = [SYMBOLS[z - 1] for z in species], np.gcd.reduce(counts)
    return neutral({symbol: count // divisor for symbol, count in zip(symbols, counts, strict=True)}), alloy(symbols)
