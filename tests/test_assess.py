"""Metrics against known answers: a set against itself, copies altered by a known amount, copies that are no copies."""

import json

import joblib
import numpy as np
import pandas as pd
import pytest

from crystalgen.cli import main
from crystalgen.crystals import write_crystals
from crystalgen.datasets.tables import read_benchmark
from crystalgen.matching.match import CSP, Tolerances, match_cells, reduce_table
from crystalgen.matching.novelty import corrected_rms, nearest_sample, nearest_target, unique_classes
from crystalgen.metrics.assess import Options, assess
from crystalgen.metrics.coverage import Cutoffs
from crystalgen.metrics.perturbations import doubled, moved, redescribed
from crystalgen.metrics.symmetry import histogram, space_groups, without_symmetry
from crystalgen.metrics.validity import composition_validity
from crystalgen.utils.timeout import TimeLimit, time_limit

NONE = pd.DataFrame({"id": [], "reason": []}, dtype=object)
B, CSP_SETTING = "0.2/0.3/5", "0.3/0.5/10, by RMS"


@pytest.fixture(scope="module")
def perovskites(shared_data):
    return read_benchmark(shared_data / "perov_5.parquet").query("split == 'val'").sample(40, random_state=1).reset_index(drop=True)


def metrics_of(generated, reference, folder, broken=NONE, training=None, cutoffs=None, settings=(B,)) -> pd.Series:
    training = reference if training is None else training
    found = assess(generated, broken, reference, training, Options(folder, cutoffs, settings, workers=1))
    return found.metrics.set_index("metric")["value"]


def test_a_set_against_itself_is_perfect_and_old(perovskites, tmp_path):
    valid = perovskites[composition_validity(perovskites)]  # distances are of valid crystals, the reference's are not filtered
    values = metrics_of(valid, valid, tmp_path, cutoffs=Cutoffs(0.2, 4.0), settings=(B, CSP_SETTING))
    for setting in (B, CSP_SETTING):
        assert values[f"metre, {setting}, all crystals"] == 1
        assert values[f"crmse, {setting}, all crystals"] == pytest.approx(0, abs=1e-5)
    assert values[["coverage_recall", "coverage_precision", "valid_structure", "unique"]].tolist() == [1, 1, 1, 1]
    assert values[["amsd_recall", "amcd_precision"]].tolist() == pytest.approx([0, 0], abs=1e-6)
    assert values[["wasserstein_density", "wasserstein_elements"]].tolist() == [0, 0]
    assert values["novel"] == 0


def test_growing_noise_makes_every_measure_worse(perovskites, tmp_path):
    rng = np.random.default_rng(0)
    steps = [
        metrics_of(moved(perovskites, rng, amount), perovskites, tmp_path, cutoffs=Cutoffs(0.2, 4.0)) for amount in (0, 0.1, 0.25, 0.5)
    ]
    for name, sign in ((f"metre, {B}, all crystals", -1), (f"crmse, {B}, all crystals", 1), ("coverage_recall", -1), ("amsd_recall", 1)):
        curve = sign * np.array([step[name] for step in steps])
        assert (np.diff(curve) >= -1e-9).all(), name
        assert curve[-1] > curve[0], name
    assert [step["p1_0.01"] for step in steps][1:] == [1, 1, 1], "noise of a hundredth of an Å leaves no symmetry"


@pytest.mark.parametrize("change", [redescribed, doubled])
def test_another_description_is_the_same_crystal(perovskites, change):
    copies = change(perovskites, np.random.default_rng(2))
    found = nearest_sample(reduce_table(copies, 1), reduce_table(perovskites, 1), Tolerances(), workers=1)
    assert found["matched"].mean() == 1


def test_other_elements_in_the_same_places_are_another_crystal(perovskites):
    known = {z: i for i, z in enumerate(sorted({int(z) for numbers in perovskites["atomic_numbers"] for z in numbers}))}
    numbers = [np.array([list(known)[known[int(z)] - 1] for z in zs]) for zs in perovskites["atomic_numbers"]]
    found = nearest_target(reduce_table(perovskites.assign(atomic_numbers=numbers), 1), reduce_table(perovskites, 1), CSP, workers=1)
    assert found["matched"].mean() == 0


def test_polymorphs_are_matched_to_each_other_by_metre_and_not_by_order(crystals):
    """Two polymorphs generated in the other's order: compared one by one none matches, of the set both are found."""
    pair = crystals[crystals["formula"] == crystals["formula"].value_counts().index[0]]
    cells = reduce_table(pair, 1)
    classes = unique_classes(cells, workers=1)
    one, other = (cells[i] for i in np.unique(classes)[:2])
    by_order = match_cells([one, other], [other, one], [[0, 0], [1, 1]], workers=1)
    everyone = nearest_sample([other, one], [one, other], workers=1)
    assert not by_order["matched"].any()
    assert everyone["matched"].all()
    assert everyone["place"].tolist() == [1, 0]
    assert corrected_rms(nearest_sample([one], [one, other], workers=1), Tolerances()).mean() == pytest.approx(0.15)


def test_repeats_belong_to_their_first(crystals):
    table = pd.concat([crystals.head(10), redescribed(crystals.head(10), np.random.default_rng(0))], ignore_index=True)
    classes = unique_classes(reduce_table(table, 1), workers=1)
    assert classes[10:].tolist() == classes[:10].tolist()
    assert (classes[:10] <= np.arange(10)).all()


def test_symmetry_that_noise_hides_is_seen_at_the_wider_symprec(crystals):
    cubic = crystals[crystals["prototype"] == "rocksalt primitive"].head(4)
    shift = [0.013, 0.021, 0.017]  # Å
    coords = [
        x + np.eye(len(x))[0][:, None] * (shift @ np.linalg.inv(m)) for m, x in zip(cubic["lattice"], cubic["frac_coords"], strict=True)
    ]
    groups = space_groups(cubic.assign(frac_coords=coords))
    assert without_symmetry(groups["space_group_0.01"]) == 1
    assert groups["space_group_0.1"].tolist() == [225] * 4
    shares = histogram(groups["space_group_0.1"], groups["space_group_0.01"])
    assert shares[["generated", "reference"]].sum().tolist() == pytest.approx([1, 1])


def test_stability_counts_unknown_energies_as_not_stable(crystals, tmp_path):
    generated = crystals.head(8).assign(e_above_hull=[-0.01, 0.01, 0.2, np.nan] * 2)
    values = metrics_of(generated, crystals, tmp_path, training=crystals.tail(3))
    assert values[["stable", "metastable"]].tolist() == [0.25, 0.5]
    assert values["stable_unique_novel"] <= values["stable"]


def test_energies_are_compared_where_both_have_them(crystals, tmp_path):
    rated = crystals.assign(energy_per_atom=np.linspace(-9, -3, len(crystals)))
    shifted = rated[composition_validity(rated)].assign(energy_per_atom=lambda t: t["energy_per_atom"] + 0.5)
    same = rated[composition_validity(rated)]
    assert metrics_of(same, same, tmp_path)["wasserstein_energy"] == pytest.approx(0)
    assert metrics_of(shifted, same, tmp_path)["wasserstein_energy"] == pytest.approx(0.5)
    assert "wasserstein_energy" not in metrics_of(crystals, crystals, tmp_path)


def test_what_could_not_be_read_counts_as_a_failure(crystals, tmp_path):
    broken = pd.DataFrame({"id": ["x", "y"], "reason": ["no atoms", "parser took longer than 20 s"]})
    found = assess(crystals.head(6), broken, crystals, crystals, Options(tmp_path, settings=(B,), workers=1))
    metrics = found.metrics.set_index("metric")
    assert metrics.loc["valid_structure", ["value", "n"]].tolist() == [0.75, 8]
    assert found.crystals["reason"].tolist()[-2:] == ["no atoms", "parser took longer than 20 s"]


def test_a_dask_cluster_takes_the_work_and_gives_the_same_verdicts(crystals):
    distributed = pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")
    one, other = crystals.head(40), moved(crystals.head(40), np.random.default_rng(0))
    here = match_cells(reduce_table(one, 1), reduce_table(other, 1), np.arange(40)[:, None].repeat(2, 1), workers=1)
    with (
        distributed.LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as cluster,
        distributed.Client(cluster),
        joblib.parallel_config(backend="dask"),
    ):
        there = match_cells(reduce_table(one, 2), reduce_table(other, 2), np.arange(40)[:, None].repeat(2, 1), workers=2)
    pd.testing.assert_frame_equal(here, there)


def test_a_time_limit_holds_in_a_thread_too():
    """As on a cluster, whose workers run tasks in threads."""

    def late(seconds: float) -> str:
        try:
            with time_limit(seconds):
                while True:
                    sum(range(1000))
        except TimeLimit as error:
            return str(error)

    found = joblib.Parallel(n_jobs=2, backend="threading")(joblib.delayed(late)(0.2) for _ in range(2))
    assert found == ["took longer than 0.2 s"] * 2


def test_evaluate_writes_its_page_and_tables(crystals, tmp_path, capsys):
    write_crystals(crystals, tmp_path / "reference.parquet")
    write_crystals(moved(crystals.head(20), np.random.default_rng(0), 0.05), tmp_path / "generated.parquet")
    arguments = ["evaluate", str(tmp_path / "generated.parquet"), "--reference", str(tmp_path / "reference.parquet")]
    assert main([*arguments, "--cutoffs", "none", "--workers", "1", "--out", str(tmp_path / "out")]) == 0
    page = (tmp_path / "out" / "index.html").read_text()
    assert "Structure validity" in page
    matching = pd.read_csv(tmp_path / "out" / "tables" / "matching.csv")
    assert matching["METRe"].notna().all() and len(matching) == 12, "four settings, three filters"
    assert 'src="data:image/png;base64' in page
    record = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert record["metrics"]["valid_structure"]["value"] == 1
    assert record["facts"]["Energies"] == "not measured"
    assert len(pd.read_csv(tmp_path / "out" / "crystals.csv")) == 20
    assert (tmp_path / "out" / "tables" / "metrics.csv").is_file()
    assert main([*arguments, "--split", "nowhere", "--cutoffs", "none"]) == 1
    assert "no crystals of the split 'nowhere'" in capsys.readouterr().err
