"""Rows of the networks that choose among retrieved candidates and correct them, for every judged crystal of a study."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from crystalgen.baselines.retrieval.ranker import by_probability
from crystalgen.baselines.retrieval.retrieve import candidate_cells, find_candidates
from crystalgen.baselines.retrieval.templates import Templates
from crystalgen.corrector.candidates import describe_candidates
from crystalgen.corrector.choosing import Questions, chances, search_settings
from crystalgen.corrector.correcting import corrected_cells
from crystalgen.corrector.free import free_crystals
from crystalgen.corrector.model import Networks
from crystalgen.corrector.sites import Sites
from crystalgen.crystals import from_columns
from crystalgen.experiments.retrieval import Answers
from crystalgen.generative.checkpoint import Model
from crystalgen.matching.reduction import ReducedCell

SOURCE = "corrector"


@dataclass(frozen=True)
class Choosing:
    """What choosing and correcting need: training crystals, distances between elements, and the trained networks."""

    templates: Templates
    sites: Sites
    distances: np.ndarray
    networks: Networks

    def ranked(self, requests: pd.DataFrame, candidates: pd.DataFrame, told: bool = False) -> pd.DataFrame:
        """Put the first candidate of each request's first arrangements in the scorer's order; the others follow as they were.

        told: whether the requests' space groups are.

        Returns:
            the candidates with new ranks and `probability`, NaN where not scored.
        """
        count = self.networks.settings.candidates
        first = candidates[~candidates.duplicated(["request", "arrangement"])]
        first = first.assign(rank=first.groupby("request").cumcount())
        first = first[first["rank"] < count]
        ranked = candidates.assign(probability=np.nan)
        if len(first):
            described = describe_candidates(self.templates, requests, first, self.distances, told=told)
            found = chances(self.networks.scorers, Questions(first, described, self.sites, count, len(requests)))
            ranked.loc[first.index, "probability"] = found[first["request"], first["rank"]]
        return by_probability(ranked)

    def corrected(self, requests: pd.DataFrame, candidates: pd.DataFrame) -> list[ReducedCell | str]:
        """Return the candidates' cells, corrected, at their templates' volume."""
        described = describe_candidates(self.templates, requests, candidates, self.distances, with_facts=False)
        cells = candidate_cells(self.templates, requests, candidates)
        return corrected_cells(self.networks.corrector, described, self.sites, cells)

    def crystals(self, requests: pd.DataFrame, candidates: pd.DataFrame, cells: list[ReducedCell | str]) -> pd.DataFrame:
        """Return corrected candidates as crystals at the requests' volume (see `retrieve.candidate_crystals`), with target_id and rank."""
        kept = [place for place, cell in enumerate(cells) if not isinstance(cell, str)]
        cells, used = [cells[place] for place in kept], candidates.iloc[kept]
        before = [self.templates.cells[row].numbers for row in used["template"]]
        volumes = self.templates.volumes
        ratios = [volumes[cell.numbers].sum() / volumes[old].sum() for cell, old in zip(cells, before, strict=True)]
        names = requests["id"].to_numpy()[used["request"]]
        return from_columns(
            [cell.lattice * np.cbrt(ratio) for cell, ratio in zip(cells, ratios, strict=True)],
            [cell.numbers for cell in cells],
            [cell.coords for cell in cells],
            SOURCE,
            [f"{name}-{rank}" for name, rank in zip(names, used["rank"], strict=True)],
            target_id=names,
            rank=used["rank"].to_numpy(),
        )

    def answers(self, requests: pd.DataFrame, candidates: pd.DataFrame, count: int, free: pd.DataFrame | None = None) -> Answers:
        """Correct candidates that are in their order, and make them answers, `count` of each request at most.

        free: of `free_crystals`; they come after the candidates that the networks choose among, and first where there is none.
        """
        cells, first = self.corrected(requests, candidates), np.flatnonzero(candidates["rank"] == 0)
        crystals = self.crystals(requests, candidates.iloc[first], [cells[place] for place in first])
        table = candidates[["request", "rank"]]
        if free is None:
            return Answers(table, cells, crystals)
        chosen = table.groupby("request").size().clip(upper=self.networks.settings.candidates)
        free = free.assign(rank=chosen.reindex(free["request"], fill_value=0).to_numpy())
        behind = table["rank"] >= free.set_index("request")["rank"].reindex(table["request"], fill_value=count).to_numpy()
        table = pd.concat([table.assign(rank=table["rank"] + behind), free[["request", "rank"]]], ignore_index=True)
        cells = [cell for cell, rank in zip([*cells, *free["cell"]], table["rank"], strict=True) if rank < count]
        alone = free[free["rank"] == 0]
        crystals = pd.concat([crystals, alone.assign(target_id=requests["id"].to_numpy()[alone["request"]])[list(crystals)]])
        return Answers(table[table["rank"] < count].reset_index(drop=True), cells, crystals.reset_index(drop=True))


def corrector_answers(choosing: Choosing, targets: pd.DataFrame, count: int,
                      generator: Model | None = None) -> Iterator[tuple[str, Answers]]:  # fmt: skip
    """Yield the rows with their candidates for the compositions of targets, `count` of each at most.

    `corrector` keeps the order of the votes; `corrector_ranked` has the scorer's; `corrector_space_group` is told the space group.

    generator: without templates, whose most probable crystal is one of the answers, see `corrector.free`; None for none.
    """
    free = [free_crystals(generator, targets, told) if generator else None for told in (False, True)]
    voted = find_candidates(choosing.templates, targets, choosing.distances, count)
    yield "corrector", choosing.answers(targets, voted, count, free[0])
    yield "corrector_ranked", choosing.answers(targets, choosing.ranked(targets, voted), count, free[0])
    inside = find_candidates(choosing.templates, targets, choosing.distances, count, **search_settings(told=True))
    yield "corrector_space_group", choosing.answers(targets, choosing.ranked(targets, inside, told=True), count, free[1])


def losses(verdicts: pd.DataFrame, targets: pd.DataFrame) -> pd.DataFrame:
    """Return what became of targets by energy above the hull, shares in percent.

    Args:
        verdicts: of `experiments.retrieval.score`. targets: with e_above_hull, eV/atom, where known.
    """
    energies = targets["e_above_hull"].to_numpy(float) if "e_above_hull" in targets else np.full(len(targets), np.nan)
    first, seen = verdicts["first"].to_numpy(), verdicts["prototype"].to_numpy(bool)
    kinds = {
        "first is right": first == 0,
        "another is right": first > 0,
        "none, prototype seen": (first < 0) & seen,
        "none, prototype unseen": (first < 0) & ~seen,
    }
    bins = [("all", np.ones(len(first), bool)), ("unknown", np.isnan(energies))]
    edges = (-np.inf, 0.0, 0.01, 0.03, np.inf)
    names = ("on the hull", "to 10 meV/atom", "10 to 30 meV/atom", "above 30 meV/atom")
    bins += [(name, (energies > low) & (energies <= high)) for name, low, high in zip(names, edges, edges[1:], strict=False)]
    rows = {
        name: {"targets": inside.sum()} | {kind: 100 * which[inside].mean() for kind, which in kinds.items()}
        for name, inside in bins
        if inside.any()
    }
    return pd.DataFrame.from_dict(rows, orient="index").round(1).rename_axis("Energy above the hull").reset_index()
