"""Wrong studies: whatever a file says that cannot be is refused when it is read, with file, key, value and what was expected."""

import subprocess
import sys
import time
from copy import deepcopy

import pytest
from conftest import ROOT
from study_case import right, written

from crystalgen.config import read_study
from crystalgen.utils.strict import StudyError
from crystalgen.workflow.compile import compiled
from crystalgen.workflow.stages import command, study_stages

NAN, INF = float("nan"), float("inf")
MATRIX = "models.matrix_generation_diffusion"
FLOW = "models.matrix_generation_flow_uniform"
UNIMAT = "models.unimat"
TOLD = "models.unimat_composition"


def changed(where: str, value) -> dict:
    """The right study with one value replaced; `training`, a preset there, is spelt out."""
    content = right()
    inner, *keys = content, *where.split(".")
    for key in keys[:-1]:
        if not isinstance(inner.get(key), dict):
            inner[key] = {"preset": inner[key]} if key in inner else {}
        inner = inner[key]
    inner[keys[-1]] = value
    return content


# key, value, what the message holds beside the file
WRONG = [
    # numbers
    (f"{FLOW}.training.learning_rate", NAN, "finite number"),
    (f"{FLOW}.training.learning_rate", INF, "finite number"),
    (f"{FLOW}.training.learning_rate", -1e-3, "greater than 0"),
    (f"{FLOW}.training.learning_rate", 0, "greater than 0"),
    (f"{FLOW}.training.learning_rate", 1e10, "less than or equal to 1"),
    (f"{FLOW}.training.learning_rate", "fast", "valid number"),
    (f"{FLOW}.training.learning_rate", True, "not yes or no"),
    (f"{FLOW}.training.learning_rate", [0.1], "valid number"),
    (f"{FLOW}.training.steps", 1e23, "1e+23"),
    (f"{FLOW}.training.steps", 10**23, "less than or equal to 100000000"),
    (f"{FLOW}.training.steps", 2.5, "valid integer"),
    (f"{FLOW}.training.steps", True, "not yes or no"),
    (f"{FLOW}.training.steps", None, "missing; expected a value"),
    (f"{FLOW}.training.batch_size", 10**12, "less than or equal to 1000000"),
    (f"{FLOW}.training.batch_size", 0, "greater than or equal to 1"),
    (f"{FLOW}.training.warmup", -1, "greater than or equal to 0"),
    (f"{FLOW}.training.warmup", 41, "at most the 40 steps"),
    (f"{FLOW}.training.weight_decay", -0.1, "greater than or equal to 0"),
    (f"{FLOW}.training.ema", 1.0, "less than 1"),
    (f"{FLOW}.training.ema", -0.1, "greater than or equal to 0"),
    (f"{FLOW}.training.clip", 0, "greater than 0"),
    (f"{FLOW}.training.clip", -1.0, "greater than 0"),
    (f"{FLOW}.training.threads", 0, "greater than or equal to 1"),
    (f"{FLOW}.training.processes", 10**6, "less than or equal to 1024"),
    (f"{FLOW}.training.condition_dropout", 1.0, "less than 1"),
    (f"{FLOW}.training.report_every", 0, "greater than or equal to 1"),
    (f"{FLOW}.training.checkpoint_every", -5, "greater than or equal to 1"),
    (f"{FLOW}.training.precision", "fp8", "'no', 'bf16' or 'fp16'"),
    (f"{FLOW}.training.seeds", [], "at least 1"),
    (f"{FLOW}.training.seeds", [1, 1], "named twice"),
    (f"{FLOW}.training.seeds", [-1], "greater than or equal to 0"),
    (f"{FLOW}.training.seeds", [2**64], "less than"),
    (f"{FLOW}.training.seeds", 42, "valid tuple"),
    # networks
    (f"{FLOW}.net.heads", 5, "do not divide"),
    (f"{FLOW}.net.channels", 12, "multiple of 8"),
    (f"{FLOW}.net.channels", -8, "greater than or equal to 8"),
    (f"{FLOW}.net.multipliers", [], "at least 1"),
    (f"{FLOW}.net.attention", [3], "expected factors of the levels"),
    (f"{FLOW}.net.blocks", 0, "greater than or equal to 1"),
    (f"{FLOW}.net.dropout", 1.5, "less than 1"),
    (f"{FLOW}.net.time_scale", INF, "finite number"),
    (f"{FLOW}.net.energy_octaves", [6.0, -2.0], "the lower one first"),
    (f"{FLOW}.net", "huge", "no preset"),
    (f"{UNIMAT}.net.heads", 3, "do not divide"),
    (f"{UNIMAT}.net.head_channels", 5, "expected a divisor"),
    (f"{UNIMAT}.net.stride", 1, "greater than or equal to 2"),
    (f"{UNIMAT}.net.name", "unet4d", "unet4d"),
    (f"{TOLD}.net.heads", 7, "do not divide"),
    (f"{TOLD}.net.waves", -1, "greater than or equal to 0"),
    (f"{TOLD}.input.cell", "box", "'channels' or 'token'"),
    (f"{TOLD}.input.augment", ["order", "order"], "named twice"),
    # objectives and sampling
    (f"{MATRIX}.objective", {"name": "diffusion", "train_steps": 0}, "greater than or equal to 1"),
    (f"{MATRIX}.objective", {"name": "diffusion", "std": 0.0}, "greater than 0"),
    (f"{MATRIX}.objective", {"name": "diffusion", "clip": -1.0}, "greater than 0"),
    (f"{MATRIX}.objective", {"name": "diffusion", "schedule": "cosine"}, "squaredcos_cap_v2"),
    (f"{MATRIX}.objective", "flowing", "no preset 'flowing'"),
    (f"{MATRIX}.objective", {"name": "diffusion", "train_steps": 9}, "expected at most train_steps 9"),
    (f"{FLOW}.objective", {"name": "flow", "std": NAN}, "finite number"),
    (f"{FLOW}.objective", {"name": "regression"}, "cannot sample a regression"),
    (f"{FLOW}.objective", 7, "valid dictionary"),
    (f"{FLOW}.sampling.steps", -3, "greater than or equal to 1"),
    (f"{FLOW}.sampling.sampler", "ddpm", "cannot sample a flow model"),
    (f"{FLOW}.sampling.sampler", "heun", "'one_step', 'euler', 'ddpm', 'ddim' or 'unmask'"),
    (f"{FLOW}.sampling.revisions", 3, "revisions 3 with sampler euler; expected sampler unmask"),
    (f"{FLOW}.sampling.contact", 1.5, "less than 1"),
    (f"{FLOW}.sampling.max_targets", 0, "greater than or equal to 1"),
    (f"{FLOW}.sampling.guidance", -2.0, "greater than or equal to 0"),
    (f"{FLOW}.sampling.seed", -1, "greater than or equal to 0"),
    (f"{UNIMAT}.sampling.count", -20, "greater than or equal to 1"),
    (f"{TOLD}.sampling.per_target", 10**12, "less than or equal to"),
    ("models.matrix_modification_regression.sampling.steps", 50, "expected 1 of the sampler one_step"),
    # data
    ("data.path", "", "at least 1"),
    ("data.path", 7, "valid string"),
    ("data.path", "data/${studies}.parquet", "without '${'"),
    ("data.path", "https://example.org/crystals.parquet", "without '${' and '://'"),
    ("data.path", "data\nrm -rf", "one line"),
    ("data.filter.elements", ["Bq"], "symbol of an element"),
    ("data.filter.elements", ["B", "B"], "named twice"),
    ("data.filter.elements", [], "at least 1"),
    ("data.filter.elements", [False], "valid string"),  # nobelium, No, unquoted
    ("data.filter.min_sites", 7, "min_sites 7 is above max_sites 6"),
    ("data.filter.min_sites", 0, "greater than or equal to 1"),
    ("data.filter.max_sites", 10**9, "less than or equal to"),
    ("data.filter.min_group", 72, "min_group 72 is above max_group 71"),
    ("data.filter.min_share", 1.5, "less than or equal to 1"),
    ("data.filter.min_share", NAN, "finite number"),
    ("data.split.val", 0.9, "leave nothing to train on"),
    ("data.split.val", 0.0, "greater than 0"),
    ("data.split.test", 1.0, "less than 1"),
    ("data.split.seed", 2**40, "less than"),
    ("data.split.given", "train", "'test' or 'val'"),
    ("data.split.hold_out", ["Ta-Xy"], "distinct elements joined by '-'"),
    ("data.split.hold_out", ["Ta-W", "W-Ta"], "named twice"),
    ("data.split.hold_out", "Ta-W-B", "valid tuple"),
    ("representations.matrix_rows", 0, "greater than or equal to 1"),
    ("representations.unimat_elements", ["Qq"], "symbol of an element"),
    ("representations.unimat_elements", ["Xe"], "none of data.filter.elements"),
    # baselines, sampler's steps, search, energies, report
    ("baselines.template.choice", "best", "'random', 'nearest_energy' or 'nearest_composition'"),
    ("baselines.template.per_target", 0, "greater than or equal to 1"),
    ("baselines.template.count", -1, "greater than or equal to 1"),
    ("baselines.template.label", "two\nlines", "one line"),
    ("baselines.unimat", {"choice": "random"}, "'unimat'"),
    ("baselines.Unimat", {"choice": "random"}, "named"),
    ("sampler_steps.steps", [], "at least 1"),
    ("sampler_steps.steps", [0, 1], "greater than or equal to 1"),
    ("sampler_steps.steps", [5, 5], "named twice"),
    ("sampler_steps.steps", [5, 1001], "expected at most 1000, the train_steps"),
    ("sampler_steps.targets", 0, "greater than or equal to 1"),
    ("search.compositions", [], "at least 1"),
    ("search.compositions", ["Ta0W1B4"], "Ta0 has 0 atoms"),
    ("search.compositions", ["Ta3000000000B2"], "expected 1 to 1000"),
    ("search.compositions", ["tawb4"], "no element 'tawb'"),
    ("search.compositions", ["Ta1Fe1"], "none of data.filter.elements"),
    ("search.rows", [], "at least 1"),
    ("search.rows", ["nosuch"], "do not sample"),
    ("search.ladders", {}, "at least 1"),
    ("search.ladders.steep", {"step": -0.1}, "greater than 0"),
    ("search.ladders.steep", {"start": -50}, "greater than or equal to -5"),
    ("search.ladders.steep", {"count": 10**9}, "less than or equal to 1000"),
    ("search.space_groups", 231, "less than or equal to 230"),
    ("search.space_groups", 0, "greater than or equal to 1"),
    ("search.fmax", 0, "greater than 0"),
    ("search.workers", 0, "greater than or equal to 1"),
    ("energies.limit", -1, "greater than 0"),
    ("energies.compositions", 0, "greater than or equal to 1"),
    ("energies.rows", ["unimat"], "told a composition"),
    ("guidance", {"row": "unimat", "energies": [0.0]}, "guidance.row 'unimat'"),
    ("guidance", {"row": "unimat", "energies": [NAN]}, "finite number"),
    ("guidance", {"row": "unimat", "energies": [0.0], "weights": [-1]}, "greater than or equal to 0"),
    ("report.bootstrap", 0, "greater than or equal to 1"),
    ("report.gallery", 10**6, "less than or equal to 100"),
    ("benchmark", "perov5", "'perov_5', 'carbon_24' or 'mp_20'"),
    ("retrieval", {"count": 1}, "greater than or equal to 2"),
    ("retrieval", {"min_members": 0}, "greater than or equal to 1"),
    ("retrieval", {"workers": -1}, "greater than or equal to 1"),
    ("models", [1], "valid dictionary"),
    ("title", "", "at least 1"),
    ("title", 5, "valid string"),
    ("base", "nosuch", "no study 'nosuch'"),
    ("base", "../../etc", "no study '../../etc'"),
    # presets
    ("presets.training.all.ema", 2, "less than 1"),
    ("presets.training.unused", {"learnig_rate": 1.0}, "unknown key 'learnig_rate'; expected some of steps"),
    ("presets.training.unused", {"learning_rate": INF}, "presets.training.unused: learning_rate: inf: expected a finite number"),
    ("presets.trainings", {}, "unknown key 'trainings'; expected some of objective"),
    ("presets.objective", {"unused": {"name": "flow", "schedule": "linear"}}, "presets.objective.unused"),
    ("presets.net", {"unused": {"name": "unet1d", "heads": 0}}, "greater than or equal to 1"),
    ("presets", [1], "expected a mapping"),
    ("presets.training", [1], "expected a mapping of names"),
    ("presets.training.unused", 5, "settings as a mapping"),
    ("presets.training.round", {"preset": "round"}, "no preset 'round'"),
]  # fmt: skip


@pytest.mark.parametrize(("where", "value", "said"), WRONG, ids=[f"{where}={str(value)[:20]}" for where, value, _ in WRONG])
def test_a_wrong_value_is_refused_with_file_key_and_what_was_expected(tmp_path, where, value, said):
    path = written(tmp_path / "studies" / "wrong", changed(where, value))
    with pytest.raises(StudyError) as error:
        read_study(path)
    message = str(error.value)
    assert message.startswith(str(path)) and "\n" not in message and said in message and len(message) < 1500
    assert any(key in message for key in where.split(".")[-2:])


def test_the_study_that_is_changed_is_right(tmp_path):
    assert len(WRONG) >= 120
    assert read_study(written(tmp_path / "studies" / "right", right())).title == "Smoke"


def test_a_study_of_nothing_is_refused(tmp_path):
    nothing = {"title": "t", "description": "d", "data": {"path": "p"}, "models": {}}
    with pytest.raises(StudyError, match="models: none; expected some, or baselines, or retrieval"):
        read_study(written(tmp_path / "studies" / "none", nothing))


NAMES = [
    "m;echo RAN>F;#",
    "$(touch F)",
    "`touch F`",
    "a b",
    "a/b",
    "../a",
    ".",
    "..",
    "",
    "-p",
    "a\nb",
    "${key}",
    "é",
    "a'b",
    'a"b',
    "a&b",
    "a|b",
    "1e5",
    "x" * 101,
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("group", ["models", "sampling", "baselines", "presets"])
def test_no_name_reaches_a_shell_or_another_folder(tmp_path, name, group):
    content = right()
    if group == "sampling":
        content["models"]["unimat"]["sampling"] = {name: content["models"]["unimat"]["sampling"]}
    elif group == "presets":
        content["presets"]["training"][name] = {"steps": 5}
    else:
        content[group][name] = next(iter(content[group].values()))
    path = written(tmp_path / "studies" / "wrong", content)
    with pytest.raises(StudyError) as error:
        read_study(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("name", [*NAMES, "ablations", "evaluate"])
def test_a_command_takes_names_alone(name, monkeypatch):
    with pytest.raises(ValueError, match="study"):
        read_of_the_name(name)
    if name not in ("ablations", "evaluate", "${key}"):
        with pytest.raises(ValueError, match="expected letters"):
            command("train", study="demo", model=name)
        with pytest.raises(ValueError, match="expected letters"):
            study_stages(name, read_study(ROOT / "studies/smoke/study.yaml"), [])


def read_of_the_name(name: str) -> None:
    from crystalgen.config import load_study

    if name == "ablations":  # compiled under this name, but no study's
        load_study(name)
    compiled(name)


def test_a_number_like_name_is_a_key_of_its_own(tmp_path):
    """DVC reads YAML 1.2, where 1e5 is a number, and would look for a model 100000.0."""
    content = right()
    content["models"]["30-days"] = content["models"].pop("unimat")
    assert "30-days" in read_study(written(tmp_path / "studies" / "days", content)).models


def test_a_model_of_that_name_is_refused_at_the_command_line_within_two_seconds(tmp_path):
    """With its imports; the name ran its `echo` in `dvc repro` once."""
    checkout = tmp_path / "checkout"
    (checkout / "notebooks").mkdir(parents=True)
    content = right()
    content["models"]["m;echo RAN>F;#"] = deepcopy(content["models"]["unimat"])
    written(checkout / "studies" / "bad", content)
    (checkout / "studies/presets.yaml").write_bytes((ROOT / "studies/presets.yaml").read_bytes())
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "crystalgen", "select", "bad"], cwd=checkout, capture_output=True, text=True)
    assert time.perf_counter() - start < 4, "on a busy machine"
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "models.m;echo RAN>F;#" in done.stderr
    assert not (checkout / "F").exists() and not (checkout / "params.yaml").exists()
