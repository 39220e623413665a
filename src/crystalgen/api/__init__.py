"""Define what `import crystalgen as cg` offers: each function on structures, files or tables alike.

A request is checked here, before torch, pymatgen or pandas is imported, so that a mistake is answered at once.
"""

import logging
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from crystalgen.api.checks import check_compound, check_filling, check_number, check_paths, check_request, check_table_file
from crystalgen.potentials.registry import find_potential
from crystalgen.utils import paths
from crystalgen.utils.formulas import is_system, parse_composition
from crystalgen.utils.limits import FORMULA_UNITS

if TYPE_CHECKING:
    import pandas as pd

    from crystalgen.api.evaluation import Evaluation

__all__ = ["evaluate", "export", "generate", "ingest", "match", "read_crystals", "relax"]


def generate(
    composition: str,
    n: int = 20,
    space_group: int | None = None,
    energy: float | None = None,
    units: int | None = None,
    study: str | None = None,
    model: str | None = None,
    relax: bool | None = None,
    steps: int = 40,
    seed: int = 0,
    workers: int = 2,
    out: str | PathLike | None = None,
    exact: bool = True,
    seed_structure=None,
) -> "pd.DataFrame":
    """Say what crystals a compound may have, and whether they are stable: any formula of 88 elements, without training or network.

    Candidates come from distilled prototypes, from the Materials Project's crystals where `crystalgen fetch mp_20` brought them, from the
    shipped generator, and from a random search where these have too few. What is no crystal or repeats another goes out. The others
    are relaxed by 7net-l3i5 and placed above the hull of the shipped single points. With `study` or `model`, a model
    that was trained here is sampled instead. Ctrl-C ranks what is done; a repeated request comes from a cache.

    Args:
        composition: as people write it, e.g. "LiFePO4", "Ca(OH)2" or "B6 Ta W"; or a chemical system, "Li-Fe-P-O", whose eight likeliest
            formulas are answered; of a study's model that of a whole cell, "Ta1W1B4".
        n: number of candidates to relax and rank, which the formulas of a system share, or of crystals to sample.
        space_group: number (1 to 230) that each crystal is to have (see `exact`); without it, sources choose, and a study's network is told
            one for each crystal, drawn as the training crystals have them.
        energy: formation energy to condition the generator on, eV/atom; a study's model without it has that of the library's hull.
        units: formula units of the primitive cell; without it, 1, 2, 3, 4, 6 and 8 are tried.
        study: whose models are sampled.
        model: name of a way to sample a model that takes a composition, of the study or of the first one that is trained.
        relax: relax crystals before they are ranked; without it, a compound's are and a study's are not.
        steps: of a compound's relaxation at most.
        seed: random seed for sampling.
        workers: processes of a study's energies and relaxations.
        out: folder for CIFs, table.csv, crystals.parquet, crystals.extxyz and index.html, replaced; nothing is written without it.
        exact: whether the space group is kept by construction, or the network is told of it only, which few of its crystals obey.
        seed_structure: a crystal of the formula's stoichiometry, e.g. LiFePO4 for NaFePO4, anything that `read_crystals` reads: its
            elements are exchanged, the most similar ones, and its volume is set; it is one more candidate, in its own cell.

    Returns:
        A row per crystal, best first; those of a chemical system by e_above_hull. Columns of a compound's: id, formula (of the cell),
        reduced_formula, probability (of sources and energy together, among those of its formula), e_above_hull, uncertainty,
        formation_energy_per_atom, energy_per_atom (eV/atom, by 7net-l3i5), space_group, known_id (the Materials Project structure that
        it seems to be), novel, sources, origin (prototype or template), density (g/cm^3), shortest_bond (Å), status, structure
        (pymatgen Structure), and more. `attrs` holds what was asked, decomposition (the hull's phases here), removed (candidates that
        went out, by reason) and notes; of a system, which formulas were tried and left_out. A study's model: the columns of a sample,
        ranked by energy, with strict_space_group (at 0.01 Å), asked_space_group and positions (Wyckoff letters of an exact space group).

    Raises:
        ValueError: the composition is no formula, a number is out of bounds, an element is unknown, no model is trained, the study's
            crystals lack an element or, not exact, the space group, or the atoms cannot fill its positions; the seed structure is not
            one crystal, or of another stoichiometry.
        FileNotFoundError: there is no file of the seed structure, the study was not run here, or its model was not trained.

    Example:
        >>> import crystalgen as cg
        >>> crystals = cg.generate("LiFePO4")
        >>> crystals[["e_above_hull", "uncertainty", "space_group", "known_id", "sources"]].head()
        >>> crystals.structure[0].to("best.cif")
        >>> cg.generate("Ta1W1B4", n=50, space_group=187, energy=-0.6, study="library_energies")  # of a trained model
    """
    compound = study is None and model is None
    system = compound and is_system(composition)
    if compound:
        check_compound(composition, units, steps)
    else:
        parse_composition(composition)
    check_request(n, space_group, energy, seed, workers)
    if seed_structure is not None:
        check_paths(seed_structure)
        if system or not compound:
            raise ValueError(f"seed structure: {composition} is {'a chemical system' if system else 'asked of a trained model'}; "
                             "expected one formula, without a study or model")  # fmt: skip
    if space_group is not None and exact and not system:
        check_filling(composition, space_group, () if not compound else FORMULA_UNITS if units is None else (units,))
    if compound:
        seed_crystal = None
        if seed_structure is not None:
            from crystalgen.api.seed import read_seed

            seed_crystal = read_seed(seed_structure, composition)
        logging.getLogger("crystalgen").info("%s: looking for prototypes, crystals alike and what the generator says", composition)
        from crystalgen.api.compound import answer_compound, write_compound_answer
        from crystalgen.api.system import answer_system

        answer, given = (answer_system, {}) if system else (answer_compound, {"seed_crystal": seed_crystal})
        table = answer(composition, n, space_group, energy=energy, units=units, relax=relax is not False, steps=steps, seed=seed,
                       workers=workers, exact=exact, **given)  # fmt: skip
        if out is not None:
            write_compound_answer(table, out)
        return table
    from crystalgen.experiments.trained import conditional_model, trained_study

    study = study or trained_study(composition)
    conditional_model(study, model)
    from crystalgen.api.generation import generate_crystals, write_generated

    table = generate_crystals(composition, n, space_group, energy, study, model, bool(relax), seed, workers, exact)
    if out is not None:
        write_generated(table, out)
    return table


def evaluate(
    crystals,
    reference=None,
    training=None,
    split: str | None = None,
    energies: bool = False,
    cutoffs: str | None = "mp_20",
    by_order: bool = False,
    disordered: bool = False,
    workers: int = 2,
    dask: str | None = None,
    limit: float = 20.0,
    out: str | PathLike | None = None,
) -> "Evaluation":
    """Compute every metric of generated crystals beside a reference: validity, uniqueness, novelty, matches, distributions, symmetry.

    What cannot be read counts as a failure. Columns `e_above_hull` and `energy_per_atom` (eV/atom) of the crystals, such as `relax`
    and `generate` give, are used for S.U.N. and the distance of energies.

    Args:
        crystals: what to measure; anything that `read_crystals` reads.
        reference: crystals to compare with, likewise; without it, the targets that an `eval_diff.pt` holds beside its samples.
        training: crystals that are not new, likewise; without it, all of the reference.
        split: only this side of the reference, e.g. "val".
        energies: compute energies by 7net-l3i5, of the crystals as they are, and place them above the embedded library's hull.
        cutoffs: coverage as on "perov_5", "carbon_24" or "mp_20"; None or "none" leaves it out (its fingerprints take most of the time).
        by_order: align samples with the reference by order, for match rate, RMSE and the best of several samples; samples with a column
            `target_id`, and files that hold their targets, are aligned without it.
        disordered: say too what is unique and novel by MatterGen's matching, for which elements that replace each other are one.
        workers: processes.
        dask: address of a Dask scheduler whose workers take the place of processes.
        limit: s of CPU time for one crystal or pair; a process that takes longer is ended.
        out: folder for index.html, metrics.json, tables and figures; nothing is written without it.

    Returns:
        DataFrames `metrics` (metric, value, low and high of the 95 % interval, n, reference, meaning), `crystals` (a row per crystal
        with its verdicts), `reference` (a row per crystal of the reference: was it found) and `space_groups`; `facts` on how they
        were made; `page`, if it was written. JupyterLab shows the metrics.

    Raises:
        TypeError, FileNotFoundError, CrystalTableError: the crystals or the reference cannot be read, or more than a tenth of the
            reference or of the training crystals is broken.
        ValueError: the reference is empty or lacks the split, or the cut-offs are unknown.

    Example:
        >>> import crystalgen as cg
        >>> found = cg.evaluate("samples.zip", reference="data/raw/mp_20/crystals.parquet", split="val")
        >>> found.metrics[["metric", "value", "low", "high"]]
        >>> found.crystals.query("valid and novel and unique")
    """
    check_paths(crystals, reference, training)
    check_number("workers", workers, 1)
    check_number("limit", limit, 0, whole=False)
    if reference is None and not (isinstance(crystals, str | PathLike) and str(crystals).endswith((".pt", ".npz"))):
        raise ValueError("no reference is given; expected crystals to compare with, since only a file of tensors can hold targets itself")
    from crystalgen.api.evaluation import evaluate_crystals

    return evaluate_crystals(crystals, reference, training, split, energies, cutoffs, by_order, disordered, workers, dask, limit, out)


def export(crystals, out: str | PathLike, format: str | None = None) -> Path:
    """Write crystals as a file that a benchmark or a generator's own scripts read.

    Args:
        crystals: anything that `read_crystals` reads.
        out: file to write.
        format: genbench (LeMat-GenBench's .csv), mattergen (.extxyz), metre (.extxyz with an index), diffcsp (tensors, .pt) or cif (a
            .zip); without it, by the name's suffix.

    Returns:
        The file's path.

    Raises:
        TypeError, FileNotFoundError, CrystalTableError: the crystals cannot be read.
        ValueError: the format is unknown or the name does not end as it should.

    Example:
        >>> import crystalgen as cg
        >>> cg.export("samples.zip", "samples.csv")  # for LeMat-GenBench
    """
    check_paths(crystals)
    from crystalgen.api.crystals import as_crystals
    from crystalgen.datasets.export import export_table

    return export_table(as_crystals(crystals), out, format)


def relax(
    crystals,
    potential: str = "chgnet",
    energy: str = "7net-l3i5",
    fmax: float = 0.05,
    steps: int = 200,
    limit: float = 600.0,
    reference=None,
    most: int | None = None,
    workers: int = 2,
    out: str | PathLike | None = None,
) -> "pd.DataFrame":
    """Relax cells and positions by a machine-learned potential, and place the results above a convex hull.

    Finished crystals are kept by their content, so that the same call, stopped or repeated, goes on where it was. Crystals whose atoms
    coincide or crowd, or of elements that a potential was not trained on, fail at once: no potential is loaded for them.

    Args:
        crystals: anything that `read_crystals` reads.
        potential: of forces: chgnet, 7net-l3i5, 7net-0, mace-mp-0, orb-v3 or mattersim (the last three need their package).
        energy: potential of the energy that is kept; one of the same names.
        fmax: largest force at which a relaxation ends, eV/Å.
        steps: maximum relaxation steps.
        limit: s for one crystal.
        reference: crystals with formation energies of the same source, for the hull; the embedded library without it.
        most: process at most so many crystals.
        workers: processes.
        out: folder for crystals.parquet and relaxation.csv; nothing is written without it.

    Returns:
        A row per crystal, in order: relaxation ("converged", "unconverged" or "failed: <why>"), steps, energy_per_atom,
        formation_energy_per_atom and e_above_hull (eV/atom; NaN without a hull of the same source), max_force (eV/Å), volume_change
        (relative), generated_space_group and space_group (before and after), structure (pymatgen Structure; the one that was given
        where the relaxation failed, None where it could not be read), and more.

    Raises:
        TypeError, FileNotFoundError, CrystalTableError: the crystals or the reference cannot be read.
        ValueError: a potential is unknown or a number is out of bounds.
        ModuleNotFoundError: the potential's package is not installed.

    Example:
        >>> import crystalgen as cg
        >>> from pymatgen.core import Lattice, Structure
        >>> tungsten = Structure(Lattice.cubic(3.0), ["W", "W"], [[0, 0, 0], [0.5, 0.5, 0.5]])
        >>> cg.relax(tungsten)[["relaxation", "steps", "e_above_hull"]]
    """
    check_paths(crystals, reference)
    find_potential(potential)
    find_potential(energy)
    for name, value in (("steps", steps), ("workers", workers), ("most", 1 if most is None else most)):
        check_number(name, value, 1)
    for name, value in (("fmax", fmax), ("limit", limit)):
        check_number(name, value, 0, whole=False)
    from crystalgen.api.relaxation import relax_crystals

    return relax_crystals(crystals, potential, energy, fmax, steps, limit, reference, most, workers, out)


def match(samples, targets, tolerances=(0.2, 0.3, 5.0), by_rms: bool = False, workers: int = 2) -> "pd.DataFrame":
    """Compare each sample with its target, with the verdicts and displacements of pymatgen's StructureMatcher.

    Both are reduced to primitive cells and scaled to one volume. With as many targets as samples, each is compared with the one at the
    same position; with one target, all are compared with it; else the samples name theirs in a column `target_id`.

    Args:
        samples: generated crystals; anything that `read_crystals` reads.
        targets: the crystals that they should be, likewise.
        tolerances: of relative lengths, of sites in units of (volume / sites)^(1/3), and of angles in degrees; StructureMatcher's ltol,
            stol and angle_tol. The benchmarks of crystal structure prediction use (0.3, 0.5, 10) with `by_rms`.
        by_rms: match if the root mean square displacement is within the tolerance of sites, not the largest one.
        workers: processes.

    Returns:
        A row per sample, in order: id, target_id, formula (of the target), matched, rms (root mean square displacement in units of
        (volume / sites)^(1/3); NaN where not matched), reason (empty, or why the pair was not compared).

    Raises:
        TypeError, FileNotFoundError, CrystalTableError: the samples or the targets cannot be read.
        ValueError: it is not clear which target a sample has, or the tolerances are not three numbers above 0.

    Example:
        >>> import crystalgen as cg
        >>> verdicts = cg.match(samples, targets)
        >>> verdicts.matched.mean()  # the match rate
    """
    check_paths(samples, targets)
    check_number("workers", workers, 1)
    if len(tolerances) != 3:
        raise ValueError(f"tolerances {tolerances}: expected three numbers, of lengths, sites and angles (degrees)")
    for name, value in zip(("lengths", "sites", "angles"), tolerances, strict=True):
        check_number(f"tolerance of {name}", value, 0, whole=False)
    from crystalgen.api.crystals import as_crystals, target_places
    from crystalgen.matching.match import Tolerances, match_cells, reduce_table

    samples, targets = as_crystals(samples).reset_index(drop=True), as_crystals(targets).reset_index(drop=True)
    places = target_places(samples, targets)
    cells = reduce_table(samples, workers), reduce_table(targets, workers)
    verdicts = match_cells(*cells, list(enumerate(places)), Tolerances(*tolerances, by_rms), workers)
    own = targets.iloc[places].reset_index(drop=True)
    return samples[["id"]].assign(target_id=own["id"], formula=own["formula"]).join(verdicts)


def ingest(folder, workers: int = 2, limit: float = 120.0, out: str | PathLike | None = None) -> "pd.DataFrame":
    """Read every calculation of VASP, GPAW and Quantum ESPRESSO below a folder as one table; a further call reads only what is new.

    Args:
        folder: any tree; a calculation is a vasprun.xml, an OUTCAR or both, or a text output of the other codes, whatever it is called,
            plain or packed by gzip, bzip2 or xz.
        workers: processes.
        limit: s for one calculation; what took longer is tried again by a further call.
        out: .parquet or .csv to write; nothing is written without it.

    Returns:
        A row per calculation: id (path below the folder), calculation (the step's name), formula, code, status ("converged",
        "unconverged: <what>", "other: <what>" of what is no energy of a crystal, or "failed: <why>"), settings_id (energies compare
        within one), energy (eV) and energy_per_atom (eV/atom, without correction), max_force (eV/Å), stress (kbar), magnetisation
        (Bohr magnetons), correction_mp2020, structure (pymatgen Structure of the last geometry, None of a failed one), and more.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: there is no calculation in it, or `out` is neither a .parquet nor a .csv.

    Example:
        >>> import crystalgen as cg
        >>> runs = cg.ingest("runs/")
        >>> runs[runs.status == "converged"][["id", "formula", "energy_per_atom"]]
    """
    check_paths(folder)
    check_table_file(out)
    check_number("workers", workers, 1)
    check_number("limit", limit, 0, whole=False)
    from crystalgen.api.crystals import structures_where_known
    from crystalgen.dft.ingest import ingest

    table = ingest(Path(folder), paths.INTERIM / "ingested", workers, limit)
    calculations = structures_where_known(table)
    if out is not None:
        Path(out).parent.mkdir(parents=True, exist_ok=True)
        if Path(out).suffix == ".parquet":
            table.to_parquet(out, index=False)
        else:
            calculations.drop(columns=["structure", "stress"]).to_csv(out, index=False, lineterminator="\n")
    return calculations


def read_crystals(crystals, skip_broken: bool = False) -> "pd.DataFrame":
    """Read crystals from anything into a DataFrame with a column `structure`.

    Args:
        crystals: pymatgen Structures or ASE Atoms (one or a list); a path, or a list of them, of a CIF, POSCAR or extxyz file (every
            block and frame of it), a folder or archive (.zip, .tar, .tar.gz) of these, a .csv with a column `cif`, CDVAE's or DiffCSP's
            .pt, or a crystals .parquet; or a DataFrame with a column `structure` or `cif`, or a crystals table. Files of other kinds
            are passed over, which a line of the log says.
        skip_broken: leave out what cannot be read, in place of raising an error.

    Returns:
        A row per crystal: id, formula, reduced_formula, nsites, space_group (where the source says it), formation_energy_per_atom
        (eV/atom), energy_source, source, split, any further columns of the source, and structure (pymatgen Structure); reading_notes
        says what was changed on the way, where anything was.

    Raises:
        TypeError: this is nothing that holds crystals; it says what was got and what is expected.
        FileNotFoundError: there is no such path.
        CrystalTableError: crystals cannot be used (partial occupancies, no cell, broken text), naming them, or none of all can.

    Example:
        >>> import crystalgen as cg
        >>> crystals = cg.read_crystals("data/library/crystals.parquet")
        >>> crystals.sort_values("e_above_hull").head()
        >>> crystals.structure[0]
    """
    check_paths(crystals)
    from crystalgen.api.crystals import as_crystals, read, with_structures

    return with_structures(read(crystals)[0] if skip_broken else as_crystals(crystals))
