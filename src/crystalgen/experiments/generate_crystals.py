"""`crystalgen generate`: crystals of a composition from a trained model, rated, compared and ranked."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from ase.data import chemical_symbols

from crystalgen.chemistry.spacegroups import find_space_groups
from crystalgen.crystals import read_crystals
from crystalgen.experiments.conditions import training_space_groups
from crystalgen.experiments.trained import conditional_model, known_elements
from crystalgen.generative.jobs import load_data, load_nets
from crystalgen.generative.objectives import build_objective
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
    """What is asked: a composition of a whole cell; a space group, if it is to be one; a formation energy, eV/atom, likewise."""

    composition: str
    count: int = 20
    space_group: int | None = None
    energy: float | None = None
    relax: bool = False
    seed: int = 0
    workers: int = 2


def generate_crystals(study: str, request: Request, row: str | None = None) -> tuple[pd.DataFrame, str]:
    """Sample, rate (after relaxing, if asked), compare, rank.

    A space group or an energy that is not given is chosen: groups as the training crystals have them, the energy of the library's hull,
    or for elements that the library lacks the median of the training crystals'.

    Args:
        study: whose models are asked.
        request: see there.
        row: a way to sample a model that is told a composition; the study's first without.

    Returns:
        crystals, best first: valid and distinct before the others, then by energy; with asked_space_group and
        asked_formation_energy_per_atom (eV), valid, status, energies, and novel (neither in the study, held out or not,
        nor in the library; StructureMatcher's defaults), known_id (which of these it is), copies (of it among the generated).
        And the row.

    Raises:
        ValueError: the model cannot be told this; or the study has no such model.
        FileNotFoundError: it was not trained.
    """
    config, row = conditional_model(study, row)
    model = config.models[config.model_of(row)]
    crystals, library = read_crystals(paths.crystals(study)), read_crystals(paths.LIBRARY / "crystals.parquet")
    hull = Hull(library)
    _check_request(request, crystals, study)
    conditions = _conditions(request, crystals, hull)
    data = load_data(model, paths.tensors(study, model.representation))
    nets = load_nets(model, data, paths.model(study, config.model_of(row)) / "weights", count=1)
    sampling = model.sampling[row].model_copy(update={"seed": request.seed})
    made, _ = generate_for_conditions(nets, build_objective(model.objective), data, conditions, sampling, row)
    if made.empty:
        raise ValueError(f"{row}: none of {request.count} samples is a crystal; train it for longer, or ask another model")
    made = made.assign(asked_formation_energy_per_atom=conditions["formation_energy_per_atom"].iloc[0])
    return _ranked(_rated(made, request, hull), pd.concat([crystals, library])), row


def _check_request(request: Request, crystals: pd.DataFrame, study: str) -> None:
    composition, groups = request.composition, training_space_groups(crystals)
    numbers, training = composition_numbers(composition), crystals[crystals["split"] == "train"]
    known = known_elements(crystals)
    if strange := sorted(set(numbers.tolist()) - known):
        has, lacks = (", ".join(chemical_symbols[z] for z in sorted(some)) for some in (known, strange))
        raise ValueError(
            f"{composition}: the training crystals of the study {study} have no {lacks}, only {has}; "
            "`crystalgen train --data FOLDER` makes a study of others"
        )
    if len(numbers) > (most := training["nsites"].max()):
        raise ValueError(f"{composition}: {len(numbers)} atoms; the training crystals of the study {study} have {most} at most")
    if request.space_group is not None and request.space_group not in groups:
        raise ValueError(
            f"space group {request.space_group}: none of the study {study}'s training crystals has it; expected one of {groups}"
        )


def _energy(request: Request, crystals: pd.DataFrame, hull: Hull) -> float:
    if request.energy is not None:
        return request.energy
    if hull.covers(composition_numbers(request.composition)):
        return hull.energy_at(request.composition)
    return crystals.loc[crystals["split"] == "train", "formation_energy_per_atom"].median()


def _conditions(request: Request, crystals: pd.DataFrame, hull: Hull) -> pd.DataFrame:
    numbers = composition_numbers(request.composition)
    groups = np.full(request.count, request.space_group)
    if request.space_group is None:
        known = training_space_groups(crystals)
        shares = crystals.loc[crystals["split"] == "train", "space_group"].value_counts(normalize=True).reindex(known).to_numpy(float)
        groups = np.random.default_rng(request.seed).choice(known, request.count, p=shares)
    energy = _energy(request, crystals, hull)
    rows = {"atomic_numbers": [numbers] * request.count, "space_group": groups.astype(int), "formation_energy_per_atom": energy}
    return pd.DataFrame(rows)


def _rated(made: pd.DataFrame, request: Request, hull: Hull) -> pd.DataFrame:
    """With valid, status and, where a potential can say, energies."""
    table = find_space_groups(made).assign(valid=structure_validity(made))
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
