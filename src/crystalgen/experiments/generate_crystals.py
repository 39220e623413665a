"""`crystalgen generate`: crystals of a composition from a trained model, rated, compared and ranked."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import yaml

from crystalgen.chemistry.spacegroups import find_space_groups
from crystalgen.config import Study, load_study
from crystalgen.crystals import read_crystals, to_structures
from crystalgen.generative.checkpoint import Model
from crystalgen.library.recipe import load_recipe
from crystalgen.matching.match import reduce_table
from crystalgen.matching.novelty import nearest_of, unique_classes
from crystalgen.metrics.validity import structure_validity
from crystalgen.potentials.relaxation import Relaxation, relax_table
from crystalgen.potentials.single_point import ENERGY_SOURCE, RATED, basis, rate
from crystalgen.represent.canonical import composition_numbers
from crystalgen.represent.generate import generate_for_conditions
from crystalgen.stability.hull import Hull
from crystalgen.utils import paths
from crystalgen.utils.cache import compute

_ENERGIES = ["e_above_hull", "formation_energy_per_atom"]


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


def trained_study(composition: str | None = None) -> str:
    """The first study that has trained weights, selected ones before others; with a composition, the first that knows its elements.

    Raises:
        ValueError: none is trained; with the command that trains one.
    """
    selected = yaml.safe_load((paths.ROOT / "params.yaml").read_text())["studies"]
    names = [*selected, *sorted({path.stem for path in paths.STUDIES.glob("*.yaml")} - set(selected))]
    trained = [name for name in names if any((paths.MODELS / name).glob("*/weights/*.safetensors"))]
    if not trained:
        raise ValueError(f"no trained models of {', '.join(selected)}; run `make reproduce` first, or name a --study that was run")
    if composition is None:
        return trained[0]
    wanted = set(composition_numbers(composition).tolist())
    told = [name for name in trained if paths.crystals(name).is_file()]
    return next((name for name in told if wanted <= _known_elements(read_crystals(paths.crystals(name)))), trained[0])


def _known_elements(crystals: pd.DataFrame) -> set[int]:
    """Atomic numbers in the training crystals."""
    return set(np.concatenate(crystals.loc[crystals["split"] == "train", "atomic_numbers"].to_numpy()).tolist())


def generate_crystals(study: str, request: Request, row: str | None = None) -> tuple[pd.DataFrame, str]:
    """Sample, rate (after relaxing, if asked), compare, rank.

    A space group or an energy that is not given is chosen: groups as the training crystals have them, the energy of the library's hull,
    or for elements that the library lacks the mean of the training crystals'.

    Args:
        study: whose models are asked.
        request: see there.
        row: a way to sample a model that is told a composition; the study's first without.

    Returns:
        crystals, best first: valid and distinct before the others, then by energy; with asked_space_group and
        asked_formation_energy_per_atom (eV), valid, status, energies, and novel (neither in the study, held out or not,
        nor in the library; StructureMatcher's defaults), known_id (which of these it is), copies (of it among the generated).
        And the row. Where the model was shipped and the study not run here, the study's crystals are not known.

    Raises:
        ValueError: the model cannot be told this; or the study has no such model.
        FileNotFoundError: it was not trained.
    """
    config = load_study(study)
    if request.count < 1:
        raise ValueError(f"{request.count} crystals: expected one or more")
    row = _row(config, study, row)
    model = Model.load(paths.model(study, config.model_of(row)), count=1)
    library = read_crystals(paths.LIBRARY / "crystals.parquet")
    own = [read_crystals(paths.crystals(study))] if paths.crystals(study).is_file() else []  # not there where the model was shipped
    hull = Hull(library)
    conditions = _conditions(request, model, hull)
    sampling = config.models[config.model_of(row)].sampling[row].model_copy(update={"seed": request.seed})
    made, _ = generate_for_conditions(model, conditions, sampling, row, [request.composition] * request.count)
    if made.empty:
        raise ValueError(f"{row}: none of {request.count} samples is a crystal; train it for longer, or ask another model")
    made = made.assign(asked_formation_energy_per_atom=conditions["formation_energy_per_atom"].iloc[0])
    return _ranked(_rated(made, request, hull), pd.concat([*own, library])), row


def _row(config: Study, study: str, row: str | None) -> str:
    told = [name for model in config.models.values() if model.task in ("generation", "composition") for name in model.sampling]
    if not told:
        raise ValueError(f"study {study}: no model is told a composition")
    if row is not None and row not in told:
        raise ValueError(f"model '{row}': expected one of {told}")
    return row or told[0]


def _conditions(request: Request, model: Model, hull: Hull) -> pd.DataFrame:
    numbers, seen = composition_numbers(request.composition), model.codec.seen
    model.codec.check(numbers, request.space_group, request.composition)
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
    limits = load_recipe(paths.LIBRARY / "recipe.yaml").physical
    table = find_space_groups(made).assign(valid=structure_validity(made), energy_per_atom=np.nan, status="invalid: atoms within 0.5 Å")
    sound = table[table["valid"]]
    if request.relax:
        sound = relax_table(sound, Relaxation(limits.min_distance), paths.INTERIM / "relaxations", request.workers)
        sound = sound.assign(status=sound["relaxation"])
    else:
        how, kept = {"min_distance": limits.min_distance}, paths.INTERIM / "ratings"
        outcomes = compute(rate, to_structures(sound), how, basis(), kept, request.workers, batch=8)
        energies = np.array([o["energy_per_atom"] for o in outcomes], dtype=float)
        sound = sound.assign(energy_per_atom=energies, status=[o["status"].replace(RATED, "as generated") for o in outcomes])
    table = hull.place(pd.concat([sound, table[~table["valid"]]]).sort_index(), ENERGY_SOURCE)
    absurd = table["formation_energy_per_atom"].abs() > limits.max_formation_energy
    table.loc[absurd, ["energy_per_atom", *_ENERGIES]] = np.nan
    table.loc[absurd, "energy_source"] = None
    return table.assign(status=table["status"].mask(absurd, f"a formation energy beyond {limits.max_formation_energy:g} eV/atom"))


def _ranked(table: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """Best first, with novel, known_id and copies; of alike crystals the lowest stands for the others."""
    cells, energies = reduce_table(table), table["energy_per_atom"].fillna(np.inf).to_numpy()  # of one composition: no hull is needed
    order = np.argsort(energies, kind="stable")
    first = np.empty(len(table), dtype=int)
    first[order] = order[unique_classes([cells[i] for i in order])]
    same = known[known["reduced_formula"].isin(set(table["reduced_formula"]))].drop_duplicates("id").reset_index(drop=True)
    nearest = nearest_of(cells, reduce_table(same), with_rms=False)
    ids = [same["id"].iloc[place] if place >= 0 else None for place in nearest["place"]]
    copies = np.bincount(first, minlength=len(table))[first] - 1
    valid = table["valid"].to_numpy(bool)
    table = table.assign(novel=valid & ~nearest["matched"].to_numpy(bool), known_id=ids, copies=copies)
    repeated = first != np.arange(len(table))
    return table.iloc[np.lexsort((energies, repeated, ~valid))].reset_index(drop=True)
