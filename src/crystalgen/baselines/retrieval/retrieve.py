"""Answers to compositions: the training crystals of the nearest ones, their elements swapped and their volume set.

A request is a composition in a primitive cell. Its templates have equal counts of atoms; each permutation of species of equal
count is another candidate. A template weighs as exp(-distance of the compositions); templates and permutations that give one
crystal vote together (an arrangement, see `templates`), so that a prototype with many members near the composition goes before a
single nearest neighbour.
"""

from collections.abc import Collection, Iterator, Sequence

import numpy as np
import pandas as pd

from crystalgen.baselines.retrieval.neighbours import Arrangements, request_distances
from crystalgen.baselines.retrieval.templates import ELEMENTS, TemplateGroup, Templates
from crystalgen.baselines.stoichiometry import ordered_species
from crystalgen.crystals import from_columns
from crystalgen.matching.reduction import ReducedCell

SOURCE = "retrieval"
MAX_PER_SPACE_GROUP = 3  # of the nearest templates, without votes
_REPEAT = 100.0  # an arrangement's next template counts as if it had this many times fewer votes
_ENTRIES = 4_000_000  # distances held at once
_COLUMNS = {"request": int, "template": int, "permutation": int, "arrangement": int, "distance": float, "votes": float, "rank": int}


def retrieve(templates: Templates, requests: pd.DataFrame, distances: np.ndarray, count: int = 1, **settings) -> pd.DataFrame:
    """Return crystals for compositions, best first: `find_candidates` and `candidate_crystals` in one.

    Args:
        templates: the training crystals.
        requests: id and atomic_numbers (n,) of a primitive cell each; with space_group where `within_space_group` is set.
        distances: between elements, (r, 120, 120), see `element_vectors`.
        count: candidates per request at most.
        **settings: see `find_candidates`.
    """
    return candidate_crystals(templates, requests, find_candidates(templates, requests, distances, count, **settings))


def find_candidates(templates: Templates, requests: pd.DataFrame, distances: np.ndarray, count: int = 1, vote: bool = True,
                    within_space_group: bool = False, beyond: float = np.inf, max_e_above_hull: float | None = None,
                    repeats: bool = True, exclude: Sequence[Collection[str]] | None = None) -> pd.DataFrame:  # fmt: skip
    """Choose templates and permutations for compositions.

    Args:
        templates, requests, distances, count: see `retrieve`.
        vote: whether arrangements go by the votes of all their templates, each represented by its nearest; without it the
            nearest templates are taken, at most three of a space group.
        within_space_group: whether templates of the request's space group alone are used, where there is one.
        beyond: what is then added to the distance of the others in place of leaving them out; symmetry is found within a tolerance, so
            that the right template is now and then of another group.
        max_e_above_hull: eV/atom; templates that are known to lie higher are not used. Needs e_above_hull in the training table.
        repeats: whether an arrangement may be answered with more than one of its templates.
        exclude: for each request the ids of training crystals that may not be its templates (leave-one-out).

    Returns:
        request and template (places in the tables), permutation and arrangement (of the template's group), distance, votes (the
        arrangement's share), rank (0 is the best); sorted by request and rank. A request without any template has no row.
    """
    species: dict[tuple[int, ...], list[tuple[int, np.ndarray]]] = {}
    for row, numbers in enumerate(requests["atomic_numbers"]):
        kinds, counts = ordered_species(numbers)
        species.setdefault(counts, []).append((row, kinds))
    allowed = np.ones(len(templates), dtype=bool)
    if max_e_above_hull is not None:
        allowed = ~(templates.table["e_above_hull"].to_numpy(float) > max_e_above_hull)
    found = [np.zeros((0, len(_COLUMNS)))]
    for counts, members in species.items():
        group = templates.groups.get(counts)
        if group is None:
            continue
        search = _GroupSearch(templates, group, count, vote, repeats)
        size = max(1, _ENTRIES // group.arrangements.size)
        for start in range(0, len(members), size):
            part = members[start : start + size]
            apart = request_distances(group, np.stack([kinds for _, kinds in part]), distances)
            apart[:, ~allowed[group.rows]] = np.inf
            for place, (row, _) in enumerate(part):
                if exclude is not None and len(exclude[row]):
                    rows = [templates.row_of_id[name] for name in exclude[row] if name in templates.row_of_id]
                    apart[place, np.isin(group.rows, rows)] = np.inf
                if within_space_group:
                    inside = search.space_groups == requests["space_group"].iloc[row]
                    if np.isfinite(apart[place, inside]).any():
                        apart[place, ~inside] += beyond
            found += search.candidates(np.array([row for row, _ in part]), apart)
    table = pd.DataFrame(np.concatenate(found), columns=list(_COLUMNS)).astype(_COLUMNS)
    return table.sort_values(["request", "rank"], ignore_index=True)


def random_candidates(templates: Templates, requests: pd.DataFrame, count: int, seed: int = 0) -> pd.DataFrame:
    """Draw templates and permutations of the requests' stoichiometries by chance, each template once; what guessing gives.

    Returns:
        as `find_candidates`; distance and votes are NaN.
    """
    rng, found = np.random.default_rng(seed), [np.zeros((0, len(_COLUMNS)))]
    for row, numbers in enumerate(requests["atomic_numbers"]):
        if (group := templates.groups.get(ordered_species(numbers)[1])) is None:
            continue
        drawn = rng.permutation(len(group.rows))[:count]
        permutation, rank = rng.integers(len(group.permutations), size=len(drawn)), np.arange(len(drawn))
        same, unknown = np.full(len(drawn), row), np.full(len(drawn), np.nan)
        found.append(
            np.stack([same, group.rows[drawn], permutation, group.arrangements[drawn, permutation], unknown, unknown, rank], axis=1)
        )
    return pd.DataFrame(np.concatenate(found), columns=list(_COLUMNS)).astype(_COLUMNS)


def candidate_crystals(templates: Templates, requests: pd.DataFrame, candidates: pd.DataFrame) -> pd.DataFrame:
    """Return the candidates as crystals: the templates' cells with the requests' elements at the requests' volume.

    The volume is the template's times the ratio of the compositions' volumes by `templates.atomic_volumes`.

    Returns:
        crystals with target_id, rank, template_id, distance, votes and the template's space group.
    """
    before = templates.table["atomic_numbers"].iloc[candidates["template"]]
    swaps = _swaps(templates, requests, candidates)
    numbers = [swap[z] for swap, z in zip(swaps, before, strict=True)]
    ratios = [templates.volumes[new].sum() / templates.volumes[old].sum() for new, old in zip(numbers, before, strict=True)]
    used = templates.table.iloc[candidates["template"]]
    names = requests["id"].to_numpy()[candidates["request"]]
    return from_columns(
        [lattice * np.cbrt(ratio) for lattice, ratio in zip(used["lattice"], ratios, strict=True)],
        numbers,
        list(used["frac_coords"]),
        SOURCE,
        [f"{name}-{rank}" for name, rank in zip(names, candidates["rank"], strict=True)],
        target_id=names,
        rank=candidates["rank"].to_numpy(),
        template_id=used["id"].to_numpy(),
        distance=candidates["distance"].to_numpy(),
        votes=candidates["votes"].to_numpy(),
        space_group=used["space_group"].array,
        symprec=used["symprec"].to_numpy(),
    )


def candidate_cells(templates: Templates, requests: pd.DataFrame, candidates: pd.DataFrame) -> list[ReducedCell | str]:
    """Return the candidates' reduced cells for the matcher, at the templates' volume, which it does not look at.

    The templates' own reduced cells are used, so that this takes a hundredth of the time of reducing `candidate_crystals`.
    """
    cells = [templates.cells[row] for row in candidates["template"]]
    swaps = _swaps(templates, requests, candidates)
    return [cell if isinstance(cell, str) else ReducedCell(cell.lattice, swap[cell.numbers].astype(int), cell.coords)
            for cell, swap in zip(cells, swaps, strict=True)]  # fmt: skip


def _swaps(templates: Templates, requests: pd.DataFrame, candidates: pd.DataFrame) -> Iterator[np.ndarray]:
    """Yield for each candidate the element that takes the place of each of the template's, (120,)."""
    asked = [ordered_species(numbers)[0] for numbers in requests["atomic_numbers"]]
    numbers = templates.table["atomic_numbers"].to_numpy()
    for request, template, permutation in candidates[["request", "template", "permutation"]].itertuples(index=False, name=None):
        kinds, counts = ordered_species(numbers[template])
        swap = np.zeros(ELEMENTS, dtype=np.int16)
        swap[kinds] = asked[request][templates.groups[counts].permutations[permutation]]
        yield swap


def unanswered(templates: Templates, requests: pd.DataFrame) -> pd.DataFrame:
    """Return the requests of a stoichiometry that no training crystal has: id, reason."""
    missing = [(name, counts) for name, numbers in zip(requests["id"], requests["atomic_numbers"], strict=True)
               if (counts := ordered_species(numbers)[1]) not in templates.groups]  # fmt: skip
    reasons = [f"no training crystal has {':'.join(map(str, counts))} atoms in its primitive cell" for _, counts in missing]
    return pd.DataFrame({"id": [name for name, _ in missing], "reason": reasons})


class _GroupSearch:
    """Orders the candidates of one group."""

    def __init__(self, templates: Templates, group: TemplateGroup, count: int, vote: bool, repeats: bool):
        self.group, self.count, self.vote, self.repeats = group, count, vote, repeats
        self.space_groups = templates.table["space_group"].to_numpy(int, na_value=0)[group.rows]
        self.arrangements = Arrangements.of(group)

    def candidates(self, requests: np.ndarray, apart: np.ndarray) -> list[np.ndarray]:
        """Return an array (k, 7) for each of q requests that has a template; columns as in `_COLUMNS`.

        apart: (q, t, p), infinite where a template may not be used.
        """
        usable = np.isfinite(apart).any(axis=(1, 2))
        requests, apart = requests[usable], apart[usable]
        if not len(requests):
            return []
        votes = self.arrangements.votes(apart) if self.vote else np.zeros((len(apart), len(self.arrangements.starts)))
        choose = self._by_votes if self.vote else self._nearest
        result = []
        for request, distances, shares in zip(requests, apart.reshape(len(apart), -1), votes, strict=True):
            entries = choose(distances, shares)
            template, permutation = np.divmod(entries, len(self.group.permutations))
            arrangement = self.group.arrangements.ravel()[entries]
            rank = np.arange(len(entries))
            same = np.full(len(entries), request)
            columns = same, self.group.rows[template], permutation, arrangement, distances[entries], shares[arrangement], rank
            result.append(np.stack(columns, axis=1))
        return result

    def _by_votes(self, distances: np.ndarray, shares: np.ndarray) -> np.ndarray:
        """Return the entries of the arrangements with most votes; for more than these, each one's next nearest templates too."""
        best = np.argsort(-shares, kind="stable")[: self.count]
        best = best[shares[best] > 0]
        entries, weights = [], []
        for arrangement in best:
            members = self.arrangements.members(arrangement)
            if self.count == 1 or not self.repeats:
                chosen = members[[distances[members].argmin()]]
            else:
                members = members[np.argsort(distances[members], kind="stable")]
                members = members[np.isfinite(distances[members])]
                _, first = np.unique(members // len(self.group.permutations), return_index=True)
                chosen = members[np.sort(first)[: self.count]]
            entries.append(chosen)
            weights.append(shares[arrangement] / _REPEAT ** np.arange(len(chosen)))
        entries, weights = np.concatenate(entries), np.concatenate(weights)
        return entries[np.argsort(-weights, kind="stable")[: self.count]]

    def _nearest(self, distances: np.ndarray, shares: np.ndarray) -> np.ndarray:
        """Return the entries of the nearest templates, each in its best permutation, at most three of a space group."""
        by_template = distances.reshape(-1, len(self.group.permutations))
        permutation, least = by_template.argmin(axis=1), by_template.min(axis=1)
        order = np.argsort(least, kind="stable")
        order = order[np.isfinite(least[order])]
        taken = pd.Series(self.space_groups[order]).groupby(self.space_groups[order]).cumcount().to_numpy()
        order = order[taken < MAX_PER_SPACE_GROUP][: self.count]
        return order * len(self.group.permutations) + permutation[order]
