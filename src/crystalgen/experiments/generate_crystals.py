"""`crystalgen generate`: crystals of a composition from a trained model, rated, compared and ranked."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from crystalgen.baselines.distilled.store import shipped_prototypes
from crystalgen.chemistry.spacegroups import STRICT, find_space_groups
from crystalgen.crystals import read_crystals
from crystalgen.experiments.scaffolds import choose_scaffolds, proposed
from crystalgen.experiments.trained import conditional_model
from crystalgen.generative.checkpoint import Model
from crystalgen.matching.match import reduce_table
from crystalgen.matching.novelty import nearest_target, unique_classes
from crystalgen.metrics.validity import INVALID, structure_validity
from crystalgen.potentials.relaxation import Relaxation, relax_table
from crystalgen.potentials.single_point import RATED, rate_table
from crystalgen.represent.canonical import composition_numbers
from crystalgen.represent.generate import generate_for_conditions
from crystalgen.stability.hull import Hull
from crystalgen.utils import paths


@dataclass(frozen=True)
class Request:
    """A request: a composition of a primitive cell; a space group, if it is to be one; a formation energy, eV/atom, likewise.

    exact: whether every crystal has the space group that is given, or the network is told of it only.
    """

    composition: str
    count: int = 20
    space_group: int | None = None
    energy: float | None = None
    relax: bool = False
    seed: int = 0
    workers: int = 2
    exact: bool = True


def generate_crystals(study: str, request: Request, row: str | None = None) -> tuple[pd.DataFrame, str]:
    """Sample, rate (after relaxing, if asked), compare, rank.

    A space group or an energy that is not given is chosen: groups as the training crystals have them, the energy of the library's hull,
    or for elements that the library lacks the mean of the training crystals'.

    Args:
        study: whose models are asked.
        request: see there.
        row: a way to sample a model that is told a composition; the study's first without.

    Returns:
        crystals, best first: valid and distinct before the others, then by energy; with asked_space_group, space_group and
        strict_space_group (found at 0.1 and 0.01 Å, before a relaxation), positions (Wyckoff letters of a space group that was to be
        exact), asked_formation_energy_per_atom (eV), valid, status, energies, and novel (neither in the study, held out or not,
        nor in the library; StructureMatcher's defaults), known_id (which of these it is), copies (of it among the generated).
        And the row. Where the model was shipped and the study not run here, the study's crystals are not known.

    Raises:
        ValueError: the model cannot be told this; or the study has no such model.
        FileNotFoundError: it was not trained.
    """
    if request.count < 1:
        raise ValueError(f"{request.count} crystals: expected one or more")
    config, row = conditional_model(study, row)
    model = Model.load(paths.model(study, config.model_of(row)), count=1)
    library = read_crystals(paths.LIBRARY / "crystals.parquet")
    own = [read_crystals(paths.crystals(study))] if paths.crystals(study).is_file() else []  # not there where the model was shipped
    hull = Hull(library)
    conditions = _conditions(request, model, hull)
    sampling = config.models[config.model_of(row)].sampling[row].model_copy(update={"seed": request.seed})
    names, scaffolds = [request.composition] * request.count, None
    if request.space_group is not None and request.exact:
        numbers, proposals = conditions["atomic_numbers"].iloc[0], []
        if request.space_group in model.codec.seen.known_groups:
            proposals = proposed(generate_for_conditions(model, conditions, sampling, row, names)[0], request.space_group)
        scaffolds = choose_scaffolds(numbers, request.space_group, request.count, shipped_prototypes(), request.seed, proposals)
        conditions = conditions.assign(positions=[scaffold.positions for scaffold in scaffolds])
    made, _ = generate_for_conditions(model, conditions, sampling, row, names, scaffolds)
    if made.empty:
        raise ValueError(f"{row}: none of {request.count} samples is a crystal; train it for longer, or ask another model")
    made = made.assign(asked_formation_energy_per_atom=conditions["formation_energy_per_atom"].iloc[0])
    return _ranked(_rated(made, request, hull), pd.concat([*own, library])), row


def _conditions(request: Request, model: Model, hull: Hull) -> pd.DataFrame:
    numbers, seen = composition_numbers(request.composition), model.codec.seen
    model.codec.check(numbers, None if request.exact else request.space_group, request.composition)
    groups = np.full(request.count, request.space_group)
    if request.space_group is None:
        known = seen.known_groups
        shares = seen.space_groups[known].double() / seen.space_groups[known].sum()
        groups = np.random.default_rng(request.seed).choice(known, request.count, p=shares.numpy())
    energy = request.energy
    if energy is None:
        energy = hull.energy_at(request.composition) if hull.covers(numbers) else float(model.codec.tensors["energy_mean"])
    rows = {"atomic_numbers": [numbers] * request.count, "space_group": groups.astype(int), "formation_energy_per_atom": energy}
    return pd.DataFrame(rows)


def _rated(made: pd.DataFrame, request: Request, hull: Hull) -> pd.DataFrame:
    """With valid, status and, where a potential can say, energies."""
    strict = find_space_groups(made, STRICT)["space_group"]
    table = find_space_groups(made).assign(strict_space_group=strict, valid=structure_validity(made))
    sound, invalid = table[table["valid"]], table[~table["valid"]].assign(status=INVALID, energy_per_atom=np.nan)
    if request.relax:
        sound = relax_table(sound, Relaxation(), paths.INTERIM / "relaxations", request.workers, hull=hull)
        sound = sound.assign(status=sound["relaxation"])
    else:
        sound = rate_table(sound, hull, paths.INTERIM / "ratings", request.workers)
        sound = sound.assign(status=sound["status"].replace(RATED, "as generated"))
    return pd.concat([sound, invalid]).sort_index()


def _ranked(table: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """Best first, with novel, known_id and copies; of alike crystals the lowest stands for the others."""
    cells, energies = reduce_table(table), table["energy_per_atom"].fillna(np.inf).to_numpy()  # of one composition: no hull is needed
    order = np.argsort(energies, kind="stable")
    first = np.empty(len(table), dtype=int)
    first[order] = order[unique_classes([cells[i] for i in order])]
    same = known[known["reduced_formula"].isin(set(table["reduced_formula"]))].drop_duplicates("id").reset_index(drop=True)
    nearest = nearest_target(cells, reduce_table(same), with_rms=False)
    ids = [same["id"].iloc[place] if place >= 0 else None for place in nearest["place"]]
    copies = np.bincount(first, minlength=len(table))[first] - 1
    valid = table["valid"].to_numpy(bool)
    table = table.assign(novel=valid & ~nearest["matched"].to_numpy(bool), known_id=ids, copies=copies)
    repeated = first != np.arange(len(table))
    return table.iloc[np.lexsort((energies, repeated, ~valid))].reset_index(drop=True)
