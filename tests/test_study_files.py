"""Files of settings: what is no plain YAML, another encoding, and the files beside studies: selection, presets, ablations, recipe."""

import time

import pytest
import yaml
from conftest import ROOT
from study_case import right, written
from test_wrong_studies import changed

from crystalgen.cli import main
from crystalgen.config import load_ablations, read_selection, read_study
from crystalgen.library.recipe import load_recipe
from crystalgen.utils import paths
from crystalgen.utils.strict import StudyError
from crystalgen.workflow.prepare import prepare
from crystalgen.workflow.selection import select_studies

NAN = float("nan")


TEXTS = {
    "title: a\ntitle: b\n": "line 2, column 1: the key 'title', as in line 1; expected it once",
    "data:\n  path: a\n  split: {val: 0.1, val: 0.2}\n": "line 3, column 21: the key 'val'",
    "title: [a\n": "not YAML: line 2",
    "title:\n\t- a\n": "not YAML: line 2, column 1",
    "title: 010\n": "line 1, column 8: the number 010",
    "title: 1:30\n": "the number 1:30",
    "title: 2026-02-31\n": "not YAML: day is out of range",
    "title: !!python/object/apply:os.system [touch F]\n": "not YAML: line 1, column 8: could not determine a constructor",
    "a: &a [*a]\n": "an alias of itself",
    "a: *b\n": "undefined alias",
    "a: " + "9" * 5000: "not YAML: Exceeds the limit",
    "title: a\n---\ntitle: b\n": "line 2, column 1: expected a single document",
    "[" * 3000: "nested too deep",
    "title: \x07\n": "not YAML: special characters",
    "? [a]\n: b\n": "a key that is a list",
    "a: &a [x,x,x,x,x,x,x,x]\n" + "".join(f"{b}: &{b} [{','.join([f'*{a}'] * 8)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)):
        "more than 50000 values, aliases spelt out",
    "# " + "x" * 200_000: "bytes; expected settings",
    "": "valid dictionary",
}  # fmt: skip


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: repr(text[:20]))
def test_what_is_no_plain_yaml_is_one_line_with_the_place(tmp_path, text):
    start = time.perf_counter()
    path = written(tmp_path / "studies" / "wrong", text)
    with pytest.raises(StudyError) as error:
        read_study(path)
    assert str(error.value).startswith(f"{path}: ") and TEXTS[text] in str(error.value) and "\n" not in str(error.value)
    assert time.perf_counter() - start < 2


@pytest.mark.parametrize("content", ["title: é".encode("latin-1"), "title: a".encode("utf-16"), b"title: \xff"])
def test_another_encoding_is_named(tmp_path, content):
    path = written(tmp_path / "studies" / "wrong", content)
    with pytest.raises(StudyError, match=r"not UTF-8 \(byte 0x.* at place \d+\); save it as UTF-8"):
        read_study(path)


def test_a_byte_order_mark_and_an_anchor_are_fine(tmp_path):
    text = yaml.safe_dump(right() | {"title": "T", "description": "D"}, sort_keys=True)  # description comes before title
    text = text.replace("description: D", "description: &same Smoke").replace("title: T", "title: *same")
    study = read_study(written(tmp_path / "studies" / "right", b"\xef\xbb\xbf" + text.encode()))
    assert study.description == study.title == "Smoke"


def test_studies_that_build_on_each_other_are_named(tmp_path):
    for name, base in (("a", "b"), ("b", "a"), ("c", "c")):
        path = written(tmp_path / name, {"base": base})
    for name in "abc":
        with pytest.raises(StudyError, match="builds on this study itself"):
            read_study(path.parents[1] / name / "study.yaml")


@pytest.fixture
def repository(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    for name in ("STUDIES", "INTERIM", "RAW", "TRIES"):
        monkeypatch.setattr(paths, name, tmp_path / getattr(paths, name).relative_to(ROOT))
    written(tmp_path / "studies" / "mine", right())
    (tmp_path / "studies/presets.yaml").write_bytes((ROOT / "studies/presets.yaml").read_bytes())
    (tmp_path / "params.yaml").write_text("studies: [mine]\n")
    return tmp_path


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("data/none.parquet", "data/none.parquet: there is no such file or folder; expected a folder of structure files"),
        ("data/raw/perov_5/crystals.parquet", "`crystalgen fetch perov_5` brings"),
        ("params.yaml", "params.yaml: another kind of file"),
    ],
)
def test_missing_crystals_are_named_before_anything_is_written(repository, path, said):
    written(repository / "studies" / "mine", changed("data.path", path))
    with pytest.raises(StudyError) as error:
        select_studies(["mine"])
    assert said in str(error.value) and "data.path" in str(error.value)
    assert not (repository / "studies/mine/dvc.yaml").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("studies: demo\n", "studies: 'demo': expected a valid tuple"),
        ("studies: ['m;echo RAN>F;#']\n", "studies.0: 'm;echo RAN>F;#'"),
        ("studies: [demo, demo]\n", "named twice"),
        ("studies: []\nstudies: [demo]\n", "line 2"),
        ("studies: []\n", "at least 1"),
        ("study: [demo]\n", "unknown key 'study'"),
        ("", "valid dictionary"),
    ],
)
def test_the_selection_is_checked(repository, text, said):
    (repository / "params.yaml").write_text(text)
    with pytest.raises(StudyError) as error:
        read_selection()
    assert said in str(error.value) and "params.yaml" in str(error.value)


def test_shared_presets_are_checked_where_they_stand(repository):
    (repository / "studies/presets.yaml").write_text("training: {minutes: {emma: 0.9}}\n")
    with pytest.raises(StudyError, match=r"presets.yaml: training.minutes: unknown key 'emma'"):
        read_study(repository / "studies/mine/study.yaml")


@pytest.mark.parametrize(
    ("where", "value", "said"),
    [
        ("study", "nosuch", "study: 'nosuch'; expected one of"),
        ("study", "../demo", "expected letters"),
        ("targets", 0, "greater than or equal to 1"),
        ("ablations.noise.models", {}, "at least 1"),
        ("ablations.a b", {}, "ablations.a b"),
        ("ablations.presets.models.lean, a tenth of its operations.training.learning_rate", -1, "greater than 0"),
        ("ablations.presets.models.lean, a tenth of its operations.sampling", {"one": {"sampler": "euler", "steps": 5}}, "'sample'"),
    ],
)
def test_ablations_are_checked(tmp_path, where, value, said):
    content = yaml.safe_load(paths.ABLATIONS.read_text())
    inner, *keys = content, *where.split(".")
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    (tmp_path / "ablations.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(StudyError) as error:
        load_ablations(tmp_path / "ablations.yaml")
    assert said in str(error.value) and "ablations.yaml" in str(error.value)


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("elements", ["B", "Bq"]),
        ("prototypes.binary_sites", 0),
        ("prototypes.large_systems", ["Ta-Ta"]),
        ("superstructures.rich_binary_formulas", [[1, -5]]),
        ("relaxation.fmax", NAN),
        ("relaxation.max_structures", -1),
        ("volumes.scales", [1.0, 0.9]),
        ("volumes.batch_size", 0),
        ("symprec", 0),
        ("shard_size", 0),
        ("seed", -1),
    ],
)
def test_the_librarys_recipe_is_checked(tmp_path, where, value):
    content = yaml.safe_load((paths.LIBRARY / "recipe.yaml").read_text())
    inner, *keys = content, *where.split(".")
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(StudyError, match=f"recipe.yaml: {where}"):
        load_recipe(tmp_path / "recipe.yaml")


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"training": {"learning_rate": NAN}}, "finite number"),
        ({"training": {"steps": 3, "warmup": 9}}, "at most the 3 steps"),
        ({"models": 5}, "valid dictionary"),
        ({"data": {"filter": {"min_sites": 99}}}, "above max_sites"),
    ],
)
def test_overrides_are_checked_as_studies_are(repository, overrides, said):
    with pytest.raises(StudyError, match=said):
        prepare("train", "mine", "unimat", overrides)


@pytest.mark.parametrize("text", ["{a: 1, a: 2}", "{a: [}", "[" * 3000, "&a [*a]"])
def test_overrides_that_are_no_yaml_are_one_line(text, capsys):
    assert main(["run", "train", "-p", "study=smoke", "-p", "model=unimat", "-p", f"overrides={text}"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("crystalgen: parameter overrides: ") and said.count("\n") == 1


@pytest.mark.parametrize("parameter", ["study=../demo", "study=m;echo RAN>F;#", "study=nosuch"])
def test_a_run_of_what_is_no_study_is_one_line(parameter, capsys):
    assert main(["run", "train", "-p", parameter, "-p", "model=unimat"]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and parameter.split("=")[1] in said
