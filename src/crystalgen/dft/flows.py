"""The papers' VASP calculations as jobflow flows, for a cluster that atomate2 is set up on (`pip install crystalgen[atomate2]`)."""

from pymatgen.core import Structure

from crystalgen.dft.inputs import PRESETS


def crystal_flow(structure: Structure, preset: str = "A", name: str | None = None):
    """Return a flow of one crystal: paper A's two relaxations and static calculation, or paper B's relaxation, each from the last geometry.

    Submit it with jobflow-remote or FireWorks, or run it with `jobflow.run_locally`; what it leaves is read by `crystalgen ingest`.

    Args:
        structure: the start.
        preset: of `inputs.PRESETS`.
        name: of the flow; the formula without one.

    Raises:
        ValueError: the preset is unknown.
        ModuleNotFoundError: atomate2 is not installed.
    """
    if preset not in PRESETS:
        raise ValueError(f"preset '{preset}': expected one of {list(PRESETS)}")
    try:
        from atomate2.vasp.jobs.base import BaseVaspMaker
        from jobflow import Flow
    except ImportError as error:
        raise ModuleNotFoundError(f"flows need atomate2: pip install atomate2 ({error})") from None
    chosen = PRESETS[preset]
    jobs, geometry, before = [], structure, None
    for step, kind in chosen.steps.items():
        inputs = kind(user_incar_settings=chosen.incar, sort_structure=True, force_gamma=structure.lattice.is_hexagonal())
        job = BaseVaspMaker(name=step, input_set_generator=inputs).make(geometry, prev_dir=before)
        geometry, before = job.output.structure, job.output.dir_name
        jobs.append(job)
    return Flow(jobs, output=jobs[-1].output, name=name or structure.composition.reduced_formula)
