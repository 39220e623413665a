"""Energies of unlike settings never share an id, and equal settings share one whatever a version of the code calls them."""

import gzip
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from dft_case import pwscf, read_folder, vasprun

from crystalgen.dft.ingest import ingest
from crystalgen.dft.settings import families, k_density, mesh_size

PBE, LDA, PBESOL = "PBE", "LDA", "PBEsol"
GPAW = gzip.decompress((Path(__file__).parents[1] / "data/dft/known/03-TaB2-191/static.txt.gz").read_bytes()).decode()
SPIN = "     Starting magnetic structure \n     atomic species   magnetization\n        B            0.500\n\n"
HUBBARD_6 = ("     Simplified LDA+U calculation (l_max = 2) with parameters (eV):\n"
             "     atomic species    L          U    alpha       J0     beta\n"
             "        B              2     {}   0.0000   0.0000   0.0000\n\n")  # fmt: skip
HUBBARD_7 = ("     Hubbard projectors: ortho-atomic\n     Hubbard parameters of DFT+U (Dudarev formulation) in eV:\n"
             "     U(B-2p)  =  {}\n\n")  # fmt: skip


def _row(folder: Path, text: str, name: str) -> dict:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    row = read_folder(folder)
    assert row["status"] == "converged", row["status"]
    return row


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("PBE\n                           (   1   4   3   4   0   0   0)", PBE),
        ("PBE (1 4 3 4 0 0)", PBE),
        ("  SLA  PW   PBX  PBC ( 1  4  3  4 0 0)", PBE),
        ("SLA PW PBX PBC (1434)", PBE),
        ("SLA-PW-PBX-PBC ( 1 4 3 4 0 0)", PBE),
        ("sla+pw+pbx+pbc", PBE),
        ("PBE", PBE),
        ("( 1  4  3  4 0 0)", PBE),
        ("(1434 0 0)", PBE),
        ("\n                           (   1   4   3   4   0   0   0)", PBE),
        ("SLA  PW   PSX  PSC ( 1  4 10  8 0 0)", PBESOL),
        ("PBESOL ( 1  4 10  8 0 0)", PBESOL),
        ("PBESOL (14108)", PBESOL),
        ("SLA  PW   NOGX NOGC ( 1  4  0  0 0 0)", LDA),
        ("SLA PZ NOGX NOGC ( 1  1  0  0 0 0)", LDA),
        ("SLA PZ", LDA),
        ("BEEF ( 1  4 27 13 2)", "BEEF"),
    ],
)
def test_each_spelling_of_a_functional_is_one_name(tmp_path, written, name):
    row = _row(tmp_path / "run", pwscf(functional=written), "b.out")
    assert json.loads(row["settings"])["functional"] == name
    usual = _row(tmp_path / "pbe", pwscf(), "b.out")
    assert (row["settings_id"] == usual["settings_id"]) == (name == PBE)


def test_two_parametrisations_of_one_functional_do_not_share_an_id(tmp_path):
    ids = {
        _row(tmp_path / str(n), pwscf(functional=f), "b.out")["settings_id"] for n, f in enumerate(("SLA PZ NOGX NOGC", "SLA PW NOGX NOGC"))
    }
    assert len(ids) == 2


def test_each_setting_of_pwx_has_an_id_of_its_own(tmp_path):
    runs = {
        "usual": {},
        "enforced": {
            "head": "     IMPORTANT: XC functional enforced from input :\n     Exchange-correlation= PBESOL ( 1  4 10  8 0 0)\n\n"
        },
        "spin": {"head": SPIN},
        "U 3": {"head": HUBBARD_6.format("3.0000")},
        "U 5.3": {"head": HUBBARD_6.format("5.3000")},
        "U 3, version 7": {"head": HUBBARD_7.format("3.0000")},
        "U 4, version 7": {"head": HUBBARD_7.format("4.0000")},
        "charged": {"electrons": 11.0},
        "charged otherwise": {"electrons": 13.0},
        "k-points": {"weights": (1 / 256, 255 / 256)},
        "width": {"smearing": "Fermi-Dirac smearing, width (Ry)=  0.0200"},
        "kind": {"smearing": "Marzari-Vanderbilt smearing, width (Ry)=  0.0073"},
        "version 5's kind": {"smearing": "gaussian broad. (Ry)=  0.0073     ngauss =   0"},
        "version 5's order": {"smearing": "gaussian broad. (Ry)=  0.0073     ngauss =   1"},
        "fixed": {"smearing": ""},
        "potential": {"potential": "B.pbe-n-rrkjus_psl.1.0.0.UPF"},
        "potential by another": {"potential": "B_ONCV_PBE-1.0.oncvpsp.upf"},
        "dispersion": {"head": "     -------------------------------------\n     DFT-D3 Dispersion Correction (3-body terms):\n"},
        "dispersion 2": {"spin": "     Dispersion XDM Correction =      -0.01 Ry\n"},
        "hybrid": {"head": "     EXX-fraction              =        0.25\n"},
    }
    ids = {name: _row(tmp_path / name, pwscf(**built), "b.out")["settings_id"] for name, built in runs.items()}
    same = [(one, other) for one, other in itertools.combinations(ids, 2) if ids[one] == ids[other]]
    assert same == []


def test_each_setting_of_vasp_has_an_id_of_its_own(tmp_path):
    hubbard = {"LDAU": True, "LDAUTYPE": 2, "LDAUL": [2, -1], "LDAUJ": [0.0, 0.0]}
    hybrid = {"LHFCALC": True, "HFSCREEN": 0.2}
    runs = {
        "usual": {},
        "cut-off": {"tags": {"ENMAX": 400.0}},
        "spin": {"tags": {"ISPIN": 2}},
        "spin-orbit": {"tags": {"ISPIN": 2, "LSORBIT": True}},
        "U 3": {"tags": hubbard | {"LDAUU": [3.0, 0.0]}},
        "U 5.3": {"tags": hubbard | {"LDAUU": [5.3, 0.0]}},
        "U of the other": {"tags": hubbard | {"LDAUL": [-1, 1], "LDAUU": [0.0, 3.0]}},
        "U and J": {"tags": hubbard | {"LDAUTYPE": 1, "LDAUU": [3.0, 0.0], "LDAUJ": [1.0, 0.0]}},
        "charged": {"tags": {"NELECT": 15.0}},
        "charged otherwise": {"tags": {"NELECT": 17.0}},
        "k 2": {"k": 2},
        "k 3": {"k": 3},
        "k 6": {"k": 6},
        "k 8": {"k": 8},
        "smearing": {"tags": {"ISMEAR": 0, "SIGMA": 0.05}},
        "width": {"tags": {"ISMEAR": 0, "SIGMA": 0.2}},
        "tetrahedra": {"tags": {"ISMEAR": -5}},
        "functional": {"tags": {"GGA": "PS"}},
        "meta": {"tags": {"METAGGA": "SCAN"}},
        "meta 2": {"tags": {"METAGGA": "R2SCAN"}},
        "dispersion": {"tags": {"IVDW": 11}},
        "dispersion 2": {"tags": {"IVDW": 12}},
        "rVV10": {"tags": {"LUSE_VDW": True, "BPARAM": 15.7}},
        "hybrid": {"tags": hybrid | {"AEXX": 0.25}},
        "hybrid 2": {"tags": hybrid | {"AEXX": 0.3}},
        "hybrid 3": {"tags": {"LHFCALC": True, "HFSCREEN": 0.3, "AEXX": 0.25}},
        "moment": {"tags": {"ISPIN": 2, "NUPDOWN": 4}},
        "field": {"tags": {"EFIELD": 0.1}},
        "field 2": {"tags": {"EFIELD_PEAD": [0.0, 0.0, 0.01]}},
        "potential": {"potentials": ["PAW_PBE Fe_pv 02Aug2007", "PAW_PBE O 08Apr2002"]},
        "potential's date": {"potentials": ["PAW_PBE Fe 06Sep2000", "PAW_PBE O_s 07Sep2000"]},
        "LDA": {"potentials": ["PAW Fe 02Aug2007", "PAW O 22Mar2012"], "tags": {"GGA": "--"}},
    }
    ids = {
        name: _row(tmp_path / name, vasprun(elements=("Fe", "O"), **built), "vasprun.xml")["settings_id"] for name, built in runs.items()
    }
    same = [(one, other) for one, other in itertools.combinations(ids, 2) if ids[one] == ids[other]]
    assert same == []


def test_what_changes_no_energy_changes_no_id(tmp_path):
    usual = _row(tmp_path / "usual", vasprun(elements=("Fe", "O")), "vasprun.xml")["settings_id"]
    for number, built in enumerate(
        [
            {"tags": {"NSW": 99, "EDIFFG": -0.02}},
            {"tags": {"NELECT": 14.0}},  # of the neutral cell
            {"tags": {"LDAU": True, "LDAUL": [2, -1], "LDAUU": [0.0, 0.0], "LDAUJ": [0.0, 0.0]}},
            {"tags": {"AEXX": 0.25, "HFSCREEN": 0.2, "LHFCALC": False}},
            {"tags": {"GGA": "--"}},  # PBE is what these potentials were made with
            {"k": 8, "a": 2.0},  # of half the length: the same density
            {"energies": (-7.0, -7.2)},
        ]
    ):
        assert _row(tmp_path / str(number), vasprun(elements=("Fe", "O"), **built), "vasprun.xml")["settings_id"] == usual, built


def test_crystals_of_one_set_of_potentials_share_an_id(tmp_path):
    usual = ["PAW_PBE Fe_pv 02Aug2007", "PAW_PBE O 08Apr2002"], ["PAW_PBE Cs_sv 08Apr2002", "PAW_PBE Cl 06Sep2000"]
    ids = [_row(tmp_path / str(n), vasprun(elements=e, potentials=p), "vasprun.xml")["settings_id"]
           for n, (e, p) in enumerate(zip((("Fe", "O"), ("Cs", "Cl")), usual, strict=True))]  # fmt: skip
    assert ids[0] == ids[1]


def test_a_spacing_that_was_asked_for_is_one_setting_for_all_cells(tmp_path):
    spacing = {"KSPACING": 0.3}
    cells = [(4.0, 6), (3.6, 6), (3.0, 7)]  # the last's mesh is denser: 2 pi / 3 / 0.3 = 6.98
    ids = {_row(tmp_path / str(a), vasprun(a=a, k=k, tags=spacing), "vasprun.xml")["settings_id"] for a, k in cells}
    assert len(ids) == 1
    assert _row(tmp_path / "other", vasprun(a=4.0, k=9, tags=spacing), "vasprun.xml")["settings_id"] not in ids, "a file KPOINTS decides"


def test_each_setting_of_gpaw_has_an_id_of_its_own(tmp_path):
    runs = {
        "usual": GPAW,
        "functional": GPAW.replace("xc: PBE", "xc: RPBE"),
        "cut-off": GPAW.replace("ecut: 520.0", "ecut: 400.0"),
        "k-points": GPAW.replace("density: 4.0", "density: 2.0"),
        "mesh": GPAW.replace("kpts: {density: 4.0,\n         gamma: True}", "kpts: [5, 5, 5]").replace("10 x 10 x 8", "5 x 5 x 5"),
        "mesh 2": GPAW.replace("kpts: {density: 4.0,\n         gamma: True}", "kpts: [6, 6, 6]").replace("10 x 10 x 8", "6 x 6 x 6"),
        "width": GPAW.replace("width: 0.1", "width: 0.2"),
        "smearing": GPAW.replace("Occupation numbers: Fermi-Dirac", "Occupation numbers: Marzari-Vanderbilt"),
        "spin": GPAW.replace("Spin-paired calculation", "Spin-polarized calculation"),
        "charge": GPAW.replace("Total Charge: 0.000000", "Total Charge: 1.000000"),
        "U": GPAW.replace("  spinpol: False", "  setups: {Ta: ':d,3.0'}\n  spinpol: False"),
        "another U": GPAW.replace("  spinpol: False", "  setups: {Ta: ':d,5.0'}\n  spinpol: False"),
        "setups": GPAW.replace("Ta.PBE.gz", "Ta.13.PBE.gz"),
    }
    ids = {name: _row(tmp_path / name, text, "t.txt")["settings_id"] for name, text in runs.items()}
    same = [(one, other) for one, other in itertools.combinations(ids, 2) if ids[one] == ids[other]]
    assert same == []


def test_a_density_of_k_points_is_that_of_the_crystal_and_not_of_the_cell():
    lattice = np.diag([3.0, 4.0, 5.0])
    assert k_density(8 * 6 * 4, lattice) == k_density(4 * 3 * 2, 2 * lattice)
    assert len({k_density(n**3, lattice) for n in (1, 2, 3, 4, 5, 6)}) == 6
    assert k_density(64, np.eye(3) * 4.0) == pytest.approx(4 * 4 / (2 * np.pi), rel=0.1)
    assert mesh_size([1 / 64, 3 / 64, 60 / 64, 0.0]) == pytest.approx(64)


def test_families_of_potentials_do_not_name_the_element():
    assert families([("/a/B.pbe-n-kjpaw_psl.1.0.0.UPF", ""), ("Ta.pbe-n-kjpaw_psl.1.0.0.UPF", "")]) == ["pbe-n-kjpaw_psl.1.0.0"]
    assert families([("/usr/share/gpaw-setups-0.9.20000/Ta.PBE.gz", "")]) == ["gpaw-setups-0.9.20000 pbe"]
    assert families([("B.UPF", "8c825a5969")]) != families([("B.UPF", "aaaaaaaaaa")])


def test_two_potentials_of_one_name_tell_the_runs_of_a_table_apart(tmp_path):
    text = pwscf()
    for name, content in (("a", text), ("b", text), ("c", text.replace("8c825a5969375aca", "0000000000000000"))):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "b.out").write_text(content)
    (tmp_path / "runs" / "d").mkdir()
    (tmp_path / "runs" / "d" / "vasprun.xml").write_text(vasprun())
    ids = ingest(tmp_path / "runs", tmp_path / "kept", workers=1).set_index("id")["settings_id"]
    assert ids["a"] == ids["b"] and len(set(ids)) == 3
