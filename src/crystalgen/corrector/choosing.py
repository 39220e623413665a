"""Choose among candidates: networks that are trained on training crystals that are held out."""

import functools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from crystalgen.baselines.retrieval.held_out import held_out_folds
from crystalgen.baselines.retrieval.templates import Templates
from crystalgen.chemistry.elements import standardised_properties
from crystalgen.config import Corrector as Settings
from crystalgen.corrector.candidates import Candidates, describe_candidates
from crystalgen.corrector.net import Scorer, SiteTransformer
from crystalgen.corrector.sites import Sites
from crystalgen.corrector.train import Run, equal_batches, train

_KEEP = 3.0  # a question is drawn in an epoch with this times the chance that votes alone would fail, see `share_kept`
_LEAST_KEPT = 0.2
_BEYOND = 7.0  # added to the distance of templates of another space group than the one that is asked for


def element_descriptors() -> Tensor:
    """Return the standardised properties of elements by atomic number, (120, 22), within four standard deviations."""
    table = np.zeros((120, standardised_properties().shape[1]), dtype=np.float32)
    table[: len(standardised_properties())] = standardised_properties().clip(-4, 4)
    return torch.from_numpy(table)


class Questions:
    """Requests with their first candidates, ready for the scorer.

    rows: places of candidates in the table by request and rank, (q, k), -1 where there are no more, or where a template's reduced cell
    has fewer sites than those of others, since batches are of equal cells. sites: of each request's templates, (q,), 0 without any.
    """

    def __init__(self, candidates: pd.DataFrame, described: Candidates, sites: Sites, count: int, requests: int):
        self.described, self.of_templates = described, sites
        request, rank, n = candidates["request"].to_numpy(), candidates["rank"].to_numpy(), sites.count[described.template]
        self.sites = np.zeros(requests, dtype=int)
        np.maximum.at(self.sites, request, n)
        kept = (rank < count) & (n == self.sites[request]) & (n > 0)
        self.rows = np.full((requests, count), -1)
        self.rows[request[kept], rank[kept]] = np.flatnonzero(kept)

    def tensors(self, requests: np.ndarray) -> tuple[Tensor, ...]:
        """Return what the scorer is given of some requests with equally many sites."""
        rows = self.rows[requests]
        real = rows >= 0
        return *self.described.tensors(self.of_templates, np.where(real, rows, rows.max(axis=1, keepdims=True))), torch.from_numpy(real)


def share_kept(votes: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the chance with which each request is drawn in an epoch, (q,): those that votes decide teach little and count for more."""
    first = np.where(rows[:, 0] >= 0, votes[rows[:, 0]], 0)  # votes of the candidate of most votes
    return np.clip(_KEEP * (1 - first), _LEAST_KEPT, 1.0)


def search_settings(told: bool) -> dict:
    """Return the settings of `find_candidates` for requests that are told with their space group, or without."""
    return {"within_space_group": True, "beyond": _BEYOND} if told else {}


def train_scorers(templates: Templates, sites: Sites, distances: np.ndarray, settings: Settings, checkpoints: Path,
                  fingerprint: str) -> dict[str, Run]:  # fmt: skip
    """Train scorers, of different seeds, on training crystals that are held out; the runs by name.

    Each crystal is asked for twice, with its space group and without.
    """
    parts, tables, labels = [], [], []
    for told in (False, True):
        for fold in held_out_folds(templates, distances, settings.candidates, settings.scoring.seed, **search_settings(told)):
            part = describe_candidates(fold.others, fold.asked, fold.candidates, distances, told=told)
            parts.append(replace(part, template=fold.kept[part.template]))
            question = fold.rows[fold.candidates["request"]] + told * len(templates)
            tables.append(fold.candidates.assign(request=question))
            labels.append(fold.right(settings.workers))
    candidates, described, right = pd.concat(tables, ignore_index=True), Candidates.joined(parts), np.concatenate(labels)
    questions = Questions(candidates, described, sites, settings.candidates, 2 * len(templates))
    scale = np.stack([described.facts.mean(axis=0), described.facts.std(axis=0) + 1e-3])
    usable = np.flatnonzero(questions.sites > 0)
    kept = share_kept(candidates["votes"].to_numpy(), questions.rows)
    weights, mean_kept = torch.from_numpy((1 / kept).astype(np.float32)), float(kept[usable].mean())

    def batches(rng: np.random.Generator) -> list[np.ndarray]:
        return equal_batches(questions.sites, settings.scoring.batch_size, rng, usable[rng.random(len(usable)) < kept[usable]])

    def loss(net: Scorer, requests: np.ndarray) -> Tensor:
        rows = questions.rows[requests]
        hit = torch.from_numpy(right[rows] & (rows >= 0))
        either = torch.cat([hit, ~hit.any(dim=1, keepdim=True)], dim=1)
        log_shares = net(*questions.tensors(requests)).float().log_softmax(dim=1)
        surprise = -log_shares.masked_fill(~either, -1e4).logsumexp(dim=1)
        return (surprise * weights[requests]).mean() * mean_kept

    runs = {}
    for number in range(settings.scorers):
        name, training = f"scorer-{number}", settings.scoring.model_copy(update={"seed": settings.scoring.seed + number})
        make = functools.partial(make_scorer, torch.from_numpy(scale), settings)
        runs[name] = train(make, batches, loss, training, checkpoints / f"{name}.pt", fingerprint)
    return runs


def make_scorer(scale: Tensor, settings: Settings) -> Scorer:
    """Build a scorer for facts of such mean and spread, (2, f)."""
    dropout = settings.scoring.dropout
    trunk = SiteTransformer(element_descriptors(), scale.shape[1], settings.width, settings.blocks, settings.heads, dropout)
    return Scorer(trunk, scale, settings.width, dropout)


@torch.inference_mode()
def chances(nets: Sequence[Scorer], questions: Questions, batch_size: int = 32) -> np.ndarray:
    """Return each candidate's chance of being what was asked for, and that of none being it, (q, k + 1); NaN where not scored.

    nets: whose chances are averaged, as logarithms.
    """
    result = np.full((len(questions.rows), questions.rows.shape[1] + 1), np.nan, dtype=np.float32)
    items = np.flatnonzero(questions.sites > 0)
    for batch in equal_batches(questions.sites, batch_size, np.random.default_rng(0), items):
        given = questions.tensors(batch)
        result[batch] = torch.stack([net(*given).log_softmax(dim=1) for net in nets]).mean(dim=0).softmax(dim=1).numpy()
    return result
