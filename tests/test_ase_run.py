"""The runner of open codes, with a stand-in for the code: folders finish, go on, fail and are shared as they should."""

import json
import multiprocessing
import os
import sys
import types

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from pymatgen.core import Lattice, Structure

from crystalgen.crystals import from_structures
from crystalgen.dft import ase_run
from crystalgen.dft.ase_inputs import SETTINGS, settings_id, write_ase_inputs


@pytest.fixture
def root(tmp_path):
    metals = [
        Structure(Lattice.cubic(a), [e] * 4, [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
        for a, e in ((3.8, "Cu"), (4.3, "Au"))
    ]
    write_ase_inputs(from_structures(metals, "m", ["copper", "gold"]), tmp_path, SETTINGS["gpaw"])
    return tmp_path


@pytest.fixture
def calls(monkeypatch):
    """Names of the calculations begun; energies by EMT, their text a line."""
    begun = []

    def code(atoms, settings, stage, folder, name):
        begun.append(f"{folder.name}/{name}")
        (folder / f"{name}.txt").write_text(f"User: me@here\nCWD: {folder}\n{stage['cutoff_ev']}\n")
        return EMT()

    monkeypatch.setitem(ase_run.CODES, "gpaw", code)
    return begun


def _record(folder):
    return json.loads((folder / "record.json").read_text())


def test_a_folder_is_relaxed_and_computed_once(root, calls):
    ase_run.main([str(root)])
    assert calls == ["copper/relax-0", "copper/static", "gold/relax-0", "gold/static"]
    record = _record(root / "copper")
    assert record["status"] == "finished" and record["relax_converged"] is True and record["relax_steps"] > 1
    assert record["settings_id"] == settings_id(SETTINGS["gpaw"])
    cell = np.array(json.loads((root / "copper" / "geometry.json").read_text())["cell"])
    assert abs(np.linalg.det(cell)) == pytest.approx(3.59**3 / 4, rel=0.01), "the primitive cell at EMT's volume"
    text = ase_run.gzip.open(root / "copper" / "static.txt.gz", "rt").read()
    assert "me@here" not in text and str(root) not in text and "520.0" in text
    calls.clear()
    ase_run.main([str(root)])
    assert calls == []


def test_a_squeezed_cell_opens_without_swinging_over(tmp_path, calls):
    """From one stiffness for atoms and strains alike, BFGS takes a boride's cell a tenth too far, and some steps to bring it back."""
    platinum = Structure.from_spacegroup(225, Lattice.cubic(3.85), ["Pt"], [[0, 0, 0]]).get_primitive_structure() * (2, 2, 2)
    platinum[0] = "Cu"  # eight atoms, squeezed
    write_ase_inputs(from_structures([platinum], "m", ["platinum"]), tmp_path, SETTINGS["gpaw"])
    ase_run.main([str(tmp_path)])
    energies = [float(line.split()[3]) for line in (tmp_path / "platinum" / "relax.log").read_text().splitlines()[1:]]
    assert len(energies) > 2 and (np.diff(energies) < 1e-6).all()


def test_an_interrupted_relaxation_goes_on_from_its_last_step(root, calls, monkeypatch):
    left = [3]  # steps until the hours are over

    def clock():
        left[0] -= 1
        return 0.0 if left[0] > 0 else 1e12

    folder = root / "copper"
    with monkeypatch.context() as patch:
        patch.setattr(ase_run.time, "time", clock)
        with pytest.raises(ase_run.OutOfTime):
            ase_run.run_folder(folder, end=1e6)
    assert not (folder / "record.json").exists()
    kept = json.loads((folder / "geometry.json").read_text())
    ase_run.main([str(folder)])
    assert calls == ["copper/relax-0", "copper/relax-1", "copper/static"]
    assert _record(folder)["relax_steps"] >= kept["steps"]
    assert sorted(path.name for path in folder.glob("relax-*")) == ["relax-0.txt.gz", "relax-1.txt.gz"]


def test_a_failure_is_a_record_and_the_others_go_on(root, calls, monkeypatch, capsys):
    whole = ase_run.CODES["gpaw"]

    def failing(atoms, settings, stage, folder, name):
        if folder.name == "copper":
            raise RuntimeError("no convergence\nat all")
        return whole(atoms, settings, stage, folder, name)

    monkeypatch.setitem(ase_run.CODES, "gpaw", failing)
    assert ase_run.main([str(root)]) == 0
    assert _record(root / "copper")["status"] == "failed: RuntimeError: no convergence at all"
    assert _record(root / "gold")["status"] == "finished"
    monkeypatch.setitem(ase_run.CODES, "gpaw", whole)
    ase_run.main([str(root)])
    assert "copper/static" not in calls, "a failure is not tried again by itself"
    ase_run.main([str(root), "--retry"])
    assert _record(root / "copper")["status"] == "finished"


def test_a_folder_that_another_process_has_is_left_to_it(root, calls):
    (root / "copper" / "running").write_text(f"{os.uname().nodename} {os.getpid()}")
    (root / "gold" / "running").write_text(f"{os.uname().nodename} 999999999")  # died
    ase_run.main([str(root)])
    assert calls == ["gold/relax-0", "gold/static"]
    assert not (root / "gold" / "running").exists() and (root / "copper" / "running").exists()


def test_an_input_that_another_processor_rounds_differently_is_the_same(root):
    file = root / "copper" / "input.json"
    kept = json.loads(file.read_text())
    for axis, shift in ((0, 1 - 1e-16), (1, 3e-10)):
        kept["frac_coords"][0][axis] += shift
    file.write_text(json.dumps(kept))
    copper = from_structures(
        [Structure(Lattice.cubic(3.8), ["Cu"] * 4, [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])], "m", ["copper"]
    )
    write_ase_inputs(copper, root, SETTINGS["gpaw"])
    assert json.loads(file.read_text()) == kept, "and stays as it is"
    for change in ({"frac_coords": [[1e-4, 0, 0]]}, {"atomic_numbers": [30]}, {"settings_id": "another"}):
        file.write_text(json.dumps(kept | change))
        with pytest.raises(ValueError, match="holds another crystal"):
            write_ase_inputs(copper, root, SETTINGS["gpaw"])


def test_an_input_is_never_written_over_another(root):
    other = from_structures([Structure(Lattice.cubic(3.2), ["W"], [[0, 0, 0]])], "m", ["copper"])
    with pytest.raises(ValueError, match="holds another crystal or other settings"):
        write_ase_inputs(other, root, SETTINGS["gpaw"])


def test_a_relaxation_keeps_its_k_points_as_the_cell_changes(monkeypatch, tmp_path):
    """By density GPAW counts them anew in each cell; a cell at the edge between two numbers then hops for ever."""
    made = []
    gpaw = types.SimpleNamespace(
        GPAW=lambda **options: made.append(options["kpts"]), PW=lambda cutoff: cutoff, FermiDirac=lambda width: width
    )
    monkeypatch.setitem(sys.modules, "gpaw", gpaw)
    copper, stage = bulk("Cu", cubic=True), {"cutoff_ev": 300, "k_density": 4.0}
    for name in ("relax-0", ase_run.STATIC):
        ase_run.gpaw(copper, SETTINGS["gpaw"], stage, tmp_path, name)
    assert made == [{"size": [7, 7, 7], "gamma": True}, {"density": 4.0, "gamma": True}], "2π · 4 / 3.61 = 6.96"


def test_of_many_that_start_at_once_one_takes_over_a_dead_ones_folder(root):
    (root / "gold" / "running").write_text(f"{os.uname().nodename} 999999999")
    start = multiprocessing.get_context("fork").Barrier(8)

    def take(found):
        start.wait()
        found.put(ase_run._take(root / "gold"))
        start.wait()  # alive until all have tried

    queue = multiprocessing.get_context("fork").Queue()
    workers = [multiprocessing.get_context("fork").Process(target=take, args=(queue,)) for _ in range(8)]
    for worker in workers:
        worker.start()
    assert sorted(queue.get(timeout=60) for _ in workers) == [False] * 7 + [True]
    for worker in workers:
        worker.join()
