"""What looking up answers: rows of retrieval and of distilled prototypes for every judged crystal of a study, and their scores."""

import functools
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from crystalgen.baselines.distilled.classes import find_classes
from crystalgen.baselines.distilled.prototypes import DistilledPrototypes, distil
from crystalgen.baselines.retrieval.element_vectors import FittedVectors, mendeleev_distances
from crystalgen.baselines.retrieval.fit_vectors import fit_vectors
from crystalgen.baselines.retrieval.ranker import fit_ranker, rank_candidates
from crystalgen.baselines.retrieval.retrieve import candidate_cells, candidate_crystals, find_candidates, random_candidates
from crystalgen.baselines.retrieval.templates import Templates
from crystalgen.baselines.retrieval.trees import Trees
from crystalgen.baselines.stoichiometry import ordered_species
from crystalgen.config import Retrieval
from crystalgen.matching.match import CSP, Tolerances, match_cells, reduce_table
from crystalgen.matching.novelty import corrected_rms, nearest_sample
from crystalgen.matching.reduction import ReducedCell
from crystalgen.metrics.score import published_validity
from crystalgen.utils.statistics import Scoring, mean_with_interval

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fitted:
    """What retrieval has learnt from training crystals, and nothing else; no ranker where votes do as well."""

    templates: Templates
    vectors: FittedVectors
    ranker: Trees | None
    prototypes: DistilledPrototypes


@dataclass(frozen=True)
class Answers:
    """Candidates for targets: request (the target's place) and rank, a row each; their reduced cells; the first ones as crystals."""

    table: pd.DataFrame
    cells: list[ReducedCell | str]
    first: pd.DataFrame


def fit(training: pd.DataFrame, settings: Retrieval) -> Fitted:
    """Fit vectors, ranker and prototypes to training crystals; about four minutes for MP-20 on two cores."""
    templates = Templates(training, workers=settings.workers)
    vectors = fit_vectors(templates, seed=settings.seed)
    _LOG.info("element vectors fitted to %d crystals", len(training))
    ranker = fit_ranker(templates, vectors.distances(), seed=settings.seed, workers=settings.workers) if settings.ranker else None
    classes = find_classes(templates, settings.min_members, settings.workers)
    _LOG.info("%d prototypes", len(classes))
    return Fitted(templates, vectors, ranker, distil(templates, vectors, classes))


def answers(fitted: Fitted, targets: pd.DataFrame, settings: Retrieval) -> Iterator[tuple[str, Answers]]:
    """Yield each row of `baselines.rows.ROWS` with its candidates for the compositions of targets, `settings.count` of each at most."""
    templates, distances = fitted.templates, fitted.vectors.distances()
    retrieved = functools.partial(retrieved_answers, templates, targets)

    def distilled(within_space_group: bool) -> Answers:
        crystals = fitted.prototypes.answer(targets, settings.count, within_space_group)
        table = crystals.assign(request=pd.Index(targets["id"]).get_indexer(crystals["target_id"]))
        return Answers(table[["request", "rank"]], reduce_table(crystals, settings.workers), crystals[crystals["rank"] == 0])

    yield "retrieval_random", retrieved(random_candidates(templates, targets, settings.count, settings.seed))
    yield "retrieval_mendeleev", retrieved(find_candidates(templates, targets, mendeleev_distances(), settings.count, vote=False))
    voted = find_candidates(templates, targets, distances, settings.count)
    yield "retrieval", retrieved(voted)
    if settings.ranker:
        ranked = rank_candidates(fitted.ranker, templates, targets, voted, distances) if fitted.ranker else voted
        yield "retrieval_ranked", retrieved(ranked)
        if len(set(templates.table["reduced_formula"])) > 1:  # of a set of one formula nothing is left
            yield "retrieval_without_formula", retrieved(_without_formula(fitted, targets, ranked, settings.count))
    yield "prototypes", distilled(False)
    yield "retrieval_space_group", retrieved(find_candidates(templates, targets, distances, settings.count, within_space_group=True))
    yield "prototypes_space_group", distilled(True)


def retrieved_answers(templates: Templates, targets: pd.DataFrame, candidates: pd.DataFrame) -> Answers:
    """Return what `find_candidates` chose for targets as answers."""
    first = candidate_crystals(templates, targets, candidates[candidates["rank"] == 0])
    return Answers(candidates[["request", "rank"]], candidate_cells(templates, targets, candidates), first)


def _without_formula(fitted: Fitted, targets: pd.DataFrame, ranked: pd.DataFrame, count: int) -> pd.DataFrame:
    """Return ranked candidates of which none has its target's reduced formula: `ranked` where training does not hold the formula."""
    templates, distances = fitted.templates, fitted.vectors.distances()
    ids = templates.table.groupby("reduced_formula")["id"].agg(list)
    known = targets["reduced_formula"].isin(ids.index).to_numpy()
    asked = targets[known].reset_index(drop=True)
    exclude = list(ids[asked["reduced_formula"]])
    found = find_candidates(templates, asked, distances, count, exclude=exclude)
    if fitted.ranker:
        found = rank_candidates(fitted.ranker, templates, asked, found, distances, exclude)
    found = found.assign(request=np.flatnonzero(known)[found["request"]])
    return pd.concat([ranked[~known[ranked["request"]]], found], ignore_index=True)


@dataclass(frozen=True)
class Targets:
    """Judged crystals: cells; valid (as the published filter has it); what training holds of each, booleans by name."""

    table: pd.DataFrame
    cells: list[ReducedCell | str]
    valid: np.ndarray
    held: dict[str, np.ndarray]


def describe_targets(training: pd.DataFrame, targets: pd.DataFrame, settings: Retrieval) -> Targets:
    """Return the targets with what the training crystals hold of them: their formula, and their prototype."""
    prototype, cells = held_prototypes(training, targets, settings.workers)
    valid = published_validity(targets, workers=settings.workers)
    formula = targets["reduced_formula"].isin(set(training["reduced_formula"])).to_numpy()
    return Targets(targets, cells, valid, {"prototype": prototype, "formula": formula})


def held_prototypes(training: pd.DataFrame, targets: pd.DataFrame, workers: int) -> tuple[np.ndarray, list[ReducedCell | str]]:
    """Return whether some training crystal has each target's prototype, booleans (n,), and the targets' reduced cells.

    Two crystals are one prototype if they match with their elements exchanged, at the tolerances of crystal structure prediction.
    """
    both = Templates(pd.concat([training, targets], ignore_index=True), workers=workers)
    held = np.zeros(len(targets), dtype=bool)
    for row, numbers in enumerate(targets["atomic_numbers"]):
        group = both.groups.get(ordered_species(numbers)[1])
        if group is not None:
            own = group.arrangements[group.rows == len(training) + row][0, 0]
            held[row] = np.isin(own, group.arrangements[group.rows < len(training)])
    return held, both.cells[len(training) :]


def first_matches(found: Answers, cells: Sequence[ReducedCell | str], workers: int) -> pd.DataFrame:
    """Return for each target (cells, n) the rank of the first candidate that matches, -1 for none, and the rms of the first candidate.

    Candidates are matched as samples at 0.3/0.5/10; rms is NaN where the first does not match.
    """
    request, rank = found.table["request"].to_numpy(), found.table["rank"].to_numpy()
    verdicts = match_cells(found.cells, cells, np.stack([np.arange(len(request)), request], axis=1), CSP, workers)
    right = verdicts.assign(request=request, rank=rank)[verdicts["matched"].to_numpy(bool)]
    first = right.groupby("request")["rank"].min().reindex(range(len(cells)), fill_value=-1).astype(int)
    return pd.DataFrame({"first": first, "rms": right[right["rank"] == 0].set_index("request")["rms"].reindex(range(len(cells)))})


def score(row: str, found: Answers, targets: Targets, settings: Retrieval, draws: int, source: str) -> tuple[pd.DataFrame, dict]:
    """Match a row's candidates with their targets.

    Returns:
        a row for each target, `first_matches` with strict (the first candidate matches at 0.2/0.3/5) and what training holds; and the
        entries of metrics.json.
    """
    count, formulas = len(targets.table), targets.table["formula"]
    matches = first_matches(found, targets.cells, settings.workers)
    first, hit = matches["first"], matches["first"].to_numpy() == 0
    chosen: list[ReducedCell | str] = ["no candidate"] * count
    for place, (request, rank) in enumerate(found.table[["request", "rank"]].to_numpy()):
        if rank == 0:
            chosen[request] = found.cells[place]
    rows = np.arange(count)
    strict = match_cells(chosen, targets.cells, np.stack([rows, rows], axis=1), Tolerances(), settings.workers)["matched"].to_numpy(bool)
    hits = found.first[found.first["target_id"].isin(targets.table["id"][hit & targets.valid])]  # no other can count
    sound = targets.table["id"].isin(hits["target_id"][published_validity(hits, workers=settings.workers)]).to_numpy()
    distinct = {}  # a set of one formula has the same answer to many targets
    for cell in chosen:
        distinct[cell if isinstance(cell, str) else (cell.lattice.tobytes(), cell.coords.tobytes(), cell.numbers.tobytes())] = cell
    everyone = nearest_sample(list(distinct.values()), targets.cells, CSP, settings.workers)

    table = targets.table[["id", "formula", "nsites"]].reset_index(drop=True).join(matches).assign(strict=strict, **targets.held)
    scoring = Scoring((settings.seed,), count, draws, source)

    def mean(values, which=slice(None)) -> dict:
        values = np.asarray(values, float)[which]
        return mean_with_interval(values, formulas[which], scoring, [values.mean()]) | {"task": "composition", "baseline": True}

    metrics = {
        "match_rate_csp": mean(hit),
        **{f"match_rate_csp_{k}": mean((first >= 0) & (first < k)) for k in (5, 20) if k <= settings.count},
        "match_rate_csp_filtered": mean(sound),
        "match_rate": mean(strict),
        "metre_csp": mean(everyone["matched"]),
        "crmse_csp": mean(corrected_rms(everyone, CSP)),
    }
    if hit.any():
        metrics["rmse_csp"] = mean(table["rms"], hit)
    for what, held in targets.held.items():
        metrics |= {f"match_rate_csp_{side}_{what}": mean(hit, which) for side, which in (("seen", held), ("unseen", ~held)) if which.any()}
    return table, {f"{row}.{name}": entry for name, entry in metrics.items()}
