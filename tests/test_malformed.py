"""Requests that cannot be: each gets one line of help, at once and before torch is imported."""

import json
import subprocess
import sys

import pytest

CIF = """data_CsCl
_cell_length_a 4.1
_cell_length_b 4.1
_cell_length_c 4.1
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'P 1'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Cs1 Cs 0 0 0
Cl1 Cl 0.5 0.5 0.5
"""
FILES = {"CsCl.cif": CIF, "two.cif": CIF + CIF.replace("data_CsCl", "data_2"), "empty.cif": "", "prose.cif": "no crystal\n", "a.txt": "1"}
COMMANDS = {
    "Xx2O3": "no element 'Xx'",
    "lifepo4": "no element 'lifepo'",
    "LiFePO4(": "a parenthesis is left open",
    "NaCl2Cl(": "a parenthesis is left open",
    "NaCl)": "')' does not belong here",
    "Ca()2": "nothing in parentheses",
    "Na0Cl": "Na0 has 0 atoms",
    "Li0.5CoO2": "expected a formula with whole numbers of atoms",
    "1.5": "'1' does not belong here",
    "水": "does not belong here",
    "Fe2O3-": "expected 2 to 6 different elements joined by hyphens",
    "Li-Li": "expected 2 to 6 different elements",
    "Li-Fe2-O": "no element 'Fe2'",
    "H-He-Li-Be-B-C-N": "expected 2 to 6 different elements",
    "Na-Es": "no source has learnt of Es",
    "PoO2": "no source has learnt of Po",
    "Ti100B101": "201 atoms in a formula unit; expected at most 60",
    "C2000": "expected 1 to 1000 in a cell",
    "NaCl -n 0": "'-n' / '--count'",
    "NaCl -n 1000000000": "n 1000000000: expected a whole number, 1 to 100000",
    "NaCl --units 0": "'--units'",
    "NaCl --units 1000": "units 1000: expected a whole number, 1 to 16",
    "NaCl --space-group 231": "'--space-group'",
    "NaCl --space-group Pnmaa": "'--space-group'",
    "TaB --space-group 186 --units 1": "cannot fill the positions of a primitive cell; possible with 2",
    "NaCl --energy nan": "'--energy'",
    "NaCl --energy warm": "'--energy'",
    "NaCl --steps 0": "'--steps'",
    "NaCl --seed -1": "'--seed'",
    "NaCl --workers 0": "'--workers'",
    "NaCl --colour red": "--colour",
    "NaCl KCl": "KCl",
    "NaCl --study nothing": "no such study",
    "NaCl --seed-structure missing.cif": "missing.cif: there is no such file",
    "NaCl --seed-structure empty.cif": "empty.cif",
    "NaCl --seed-structure prose.cif": "prose.cif",
    "NaCl --seed-structure a.txt": "a.txt",
    "NaCl --seed-structure two.cif": "two.cif: 2 crystals; expected one",
    "NaFePO4 --seed-structure CsCl.cif": "CsCl has elements as 1:1; expected 1:1:1:4, as NaFePO4 has",
    "Na-Cl --seed-structure CsCl.cif": "Na-Cl is a chemical system; expected one formula",
}
CALLS = {
    "''": "composition '': expected a formula",
    "None": "composition None: expected a formula",
    "'NaCl', n=2.5": "n 2.5: expected a whole number",
    "'NaCl', units='two'": "units",
    "'NaCl', space_group='Pnma'": "space group Pnma: expected a whole number, 1 to 230",
    "'NaCl', energy=float('nan')": "energy nan: expected a formation energy",
    "'NaCl', energy='low'": "energy low: expected a formation energy",
    "'NaCl', steps=0": "steps 0: expected a whole number, 1 to 10000",
    "'NaCl', workers=0": "workers 0: expected a whole number",
    "'NaCl', seed_structure=[]": "got an empty list; expected pymatgen Structures",
    "'NaCl', seed_structure=5": "got int; expected pymatgen Structures",
    "'NaCl', seed_structure='CsCl.cif', study='demo'": "asked of a trained model; expected one formula",
}
SCRIPT = """
import contextlib, io, json, sys, time
sys.modules["torch"] = None  # an import of it fails
import crystalgen as cg
from crystalgen.cli import main
commands, calls = json.loads(sys.argv[1])
found = {}
for text in commands:
    start, told = time.process_time(), io.StringIO()
    with contextlib.redirect_stderr(told):
        status = main(["generate", *text.split()])
    found[text] = [status, told.getvalue(), time.process_time() - start]
for text in calls:
    start = time.process_time()
    try:
        found[text] = [0, str(eval(f"cg.generate({text})"))]
    except Exception as error:
        found[text] = [1 if isinstance(error, (ValueError, TypeError)) else type(error).__name__, f"crystalgen: {error}\\n"]
    found[text].append(time.process_time() - start)
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """All requests in one process: status, what it says, seconds of CPU."""
    folder = tmp_path_factory.mktemp("malformed")
    for name, text in FILES.items():
        (folder / name).write_text(text)
    texts = json.dumps([list(COMMANDS), list(CALLS)])
    done = subprocess.run([sys.executable, "-c", SCRIPT, texts], capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("request_", [*COMMANDS, *CALLS])
def test_a_malformed_request_is_told_in_one_line_what_was_expected(told, request_):
    status, text, seconds = told[request_]
    assert status in (1, 2), text
    assert text.startswith("crystalgen: ") and text.count("\n") == 1, text
    assert (COMMANDS | CALLS)[request_] in text
    assert seconds < 4, "the first that reads a file imports pymatgen"
