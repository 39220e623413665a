"""What to train on a GPU, in order, each job a command of under ten minutes that goes on where it was stopped.

    python benchmarks/gpu_queue.py prepare                  on a machine with chemistry: data/processed/STUDY/tensors, once; carry these
    python benchmarks/gpu_queue.py list                     jobs, expected minutes, and how far each is
    python benchmarks/gpu_queue.py next [--minutes 9]       the first unfinished jobs, until the time is up
    python benchmarks/gpu_queue.py run JOB [--minutes 9]    one job
    python benchmarks/gpu_queue.py report                   samples/s and the share of the card's own matrix product (MFU), JSON

All is kept under --home, build/gpu_queue; with --out (such as $OUT of a lent machine) each finished job's card, curve and settings are
copied there, and 10,000 samples and its weights in parts of 15 MiB, bf16, that `python benchmarks/gpu_queue.py join FOLDER` makes a
model of. Of a lent machine without chemistry torch, pydantic, safetensors, accelerate, joblib and PyYAML are enough. --toy makes every
job one of seconds.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "src"))
PART = 15 * 2**20  # bytes of a file that comes back
SAMPLES = 10_000
PEAK_SIZE = 8192  # of the matrices whose product the share is of
TOY = {"net": {"channels": 16, "blocks": 1, "heads": 2}, "training": {"batch_size": 8, "warmup": 2, "threads": 1, "precision": "no"}}
SHORT = {"learning_rate": 5.0e-4, "warmup": 500, "ema": 0.999, "report_every": 500, "checkpoint_every": 500}


@dataclass(frozen=True)
class Job:
    """A model of a study with what differs from it, and the minutes that it should take on an H100 (an estimate until measured)."""

    study: str
    model: str
    steps: int
    minutes: float
    net: dict = field(default_factory=dict)
    training: dict = field(default_factory=dict)


JOBS = {
    "mp_20_joint": Job("mp_20_gpu", "unimat_places", 12_000, 9, {"skips": True}),
    "mp_20_composition": Job("mp_20_gpu", "unimat_composition", 12_000, 9, {"blocks": 16}),
    "perov_5_joint": Job("perov_5_gpu", "unimat_places", 8_000, 4, {"skips": True}),
    "carbon_24_joint": Job("carbon_24_gpu", "unimat_places", 8_000, 3),
    "mp_20_joint_64": Job("mp_20_gpu", "unimat_places", 6_000, 2, {"skips": True, "channels": 64, "heads": 4}),
    "mp_20_joint_128": Job("mp_20_gpu", "unimat_places", 6_000, 3, {"skips": True, "channels": 128, "heads": 4}),
    "mp_20_joint_256": Job("mp_20_gpu", "unimat_places", 6_000, 4, {"skips": True, "channels": 256}),
}  # the last three are the ablation of A's Figure 4


def main(arguments: list[str] | None = None) -> int:
    """Do what is asked; 0, or 1 where a job failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["prepare", "list", "next", "run", "report", "join"])
    parser.add_argument("name", nargs="?", help="a job; for `join`, a folder that came back")
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--home", type=Path, default=ROOT / "build" / "gpu_queue")
    parser.add_argument("--data", type=Path, default=ROOT / "data" / "processed", help="STUDY/tensors/unimat.safetensors of each study")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--toy", action="store_true")
    options = parser.parse_args(arguments)
    if options.what == "run" and options.name not in JOBS:
        parser.error(f"job '{options.name}': expected one of {list(JOBS)}")
    if options.what in ("prepare", "list", "report", "join"):
        {"prepare": prepare, "list": show, "report": report, "join": join}[options.what](options)
        return 0
    end = time.monotonic() + 60 * options.minutes
    for name in [options.name] if options.what == "run" else JOBS:
        if not finished(options.home / name) and time.monotonic() < end and run(name, end, options):
            return 1
    show(options)
    return 0


def prepare(options: argparse.Namespace) -> None:
    """Write the tensors of each study from its data, as the pipeline does."""
    for study in dict.fromkeys(job.study for job in JOBS.values()):
        for stage in ("data", "representations"):
            subprocess.run([sys.executable, "-m", "crystalgen", "run", stage, "-p", f"study={study}"], cwd=ROOT, check=True)


def run(name: str, end: float, options: argparse.Namespace) -> int:
    """Train until done or until the time is up, then sample; 0 unless training failed. A stopped job has its checkpoint."""
    job, home = JOBS[name], options.home / name
    home.mkdir(parents=True, exist_ok=True)
    settings = settings_of(job, options.toy)
    (home / "settings.json").write_text(settings.model_dump_json(indent=1))
    command = [sys.executable, "-m", "crystalgen.generative", str(home / "settings.json"), str(tensors(options.data, job.study))]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    process = subprocess.Popen([*command, "--out", str(home)], env=environment, cwd=ROOT)
    try:
        code = process.wait(timeout=max(1.0, end - time.monotonic()))
    except subprocess.TimeoutExpired:
        process.terminate()
        process.wait()
        return 0
    if code == 0:
        sample(home, options)
    return code


def settings_of(job: Job, toy: bool):
    """Return the study's model with what the job changes."""
    from crystalgen.generative.settings import UniMatModel, read_model

    model = read_model(ROOT / "studies" / job.study / "study.yaml", job.model)
    changed = model.model_dump(mode="json")
    changed["net"] |= job.net
    changed["training"] |= {"steps": job.steps} | SHORT | job.training
    if toy:
        changed["net"] |= TOY["net"]
        changed["training"] |= TOY["training"] | {"steps": 4, "report_every": 2, "checkpoint_every": 2}
    return UniMatModel.model_validate(changed)


def sample(home: Path, options: argparse.Namespace) -> None:
    """Draw crystals, of a model that is told compositions those of its set's judged side; keep them and what else comes back."""
    import torch
    from safetensors.torch import save_file

    from crystalgen.generative.checkpoint import Model
    from crystalgen.generative.data.format import NULL_THRESHOLD, TEST
    from crystalgen.generative.jobs import load_data
    from crystalgen.generative.settings import Sampling

    model, count = Model.load(home), 4 if options.toy else SAMPLES
    condition = {}
    if model.settings.task:
        data = load_data(model.settings, tensors(options.data, JOBS[home.name].study))
        condition = data.condition(data.items(TEST)[:count])
    start = time.perf_counter()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
        grid, cell = model.sample(condition, Sampling(sampler="ddim", steps=2 if options.toy else 64, count=count))
    held = condition["places"] if condition else (grid.mean(dim=1) >= NULL_THRESHOLD) & model.codec.used
    crystal, place = torch.nonzero(held.flatten(1), as_tuple=True)
    found = {"crystal": crystal.int(), "place": place.short(), "frac_coords": grid.flatten(2).transpose(1, 2)[crystal, place], "cell": cell}
    save_file({name: value.contiguous() for name, value in found.items()}, home / "samples.safetensors")
    (home / "sampling.json").write_text(json.dumps({"crystals": len(cell), "seconds": round(time.perf_counter() - start, 2)}))
    if options.out:
        give_back(home, options.out / home.name)


def give_back(home: Path, out: Path) -> None:
    """Copy what is small, and the weights in bf16 in parts."""
    import torch
    from safetensors.torch import load_file, save

    out.mkdir(parents=True, exist_ok=True)
    for name in ("card.json", "curve.csv", "model.json", "scales.safetensors", "samples.safetensors"):
        (out / name).write_bytes((home / name).read_bytes())
    (weights,) = (home / "weights").glob("*.safetensors")
    content = save({name: value.to(torch.bfloat16) for name, value in load_file(weights).items()})
    for number, first in enumerate(range(0, len(content), PART)):
        (out / f"{weights.stem}.part{number}").write_bytes(content[first : first + PART])


def join(options: argparse.Namespace) -> None:
    """Make a model of a folder that came back."""
    folder = Path(options.name)
    parts = sorted(folder.glob("*.part*"), key=lambda path: int(path.suffix.removeprefix(".part")))
    (folder / "weights").mkdir(exist_ok=True)
    (folder / "weights" / f"{parts[0].stem}.safetensors").write_bytes(b"".join(part.read_bytes() for part in parts))


def show(options: argparse.Namespace) -> None:
    """Print a line for each job."""
    for name, job in JOBS.items():
        step, seconds = progress(options.home / name)
        print(f"{name:20s} expected {job.minutes:4.1f} min   {step:6d} of {job.steps} steps, {seconds / 60:.1f} min")


def report(options: argparse.Namespace) -> None:
    """Write what every job that has begun reached, report.json."""
    import torch

    from crystalgen.generative.cost import TRAINING_FACTOR, cost
    from crystalgen.generative.data.format import TRAIN
    from crystalgen.generative.jobs import load_data

    device = "cuda" if torch.cuda.is_available() else "cpu"
    peak, rows = _peak(device, 256 if options.toy else PEAK_SIZE), {}
    for name, job in JOBS.items():
        step, seconds = progress(options.home / name)
        if not step:
            continue
        seconds = max(seconds, 0.05)  # a card rounds them to a tenth
        settings = settings_of(job, options.toy)
        data = load_data(settings, tensors(options.data, job.study))
        counted = cost(settings.build_net(data.codec), data.codec.shape, data.condition(data.items(TRAIN)[:1]))
        rate = step * settings.training.batch_size / seconds
        flops = TRAINING_FACTOR * counted.flops * rate  # of all places; what is skipped counts as done
        rows[name] = {"steps": step, "seconds": round(seconds, 1), "samples_per_s": round(rate, 1), "parameters": counted.parameters}
        rows[name] |= {"tflops": round(flops / 1e12, 3), "mfu": round(flops / peak, 6)}
        if (file := options.home / name / "sampling.json").is_file():
            rows[name]["sampling"] = json.loads(file.read_text())
    where = (options.out or options.home) / "report.json"
    where.write_text(json.dumps({"peak_tflops_bf16": round(peak / 1e12, 1), "device": _device_name(device), "jobs": rows}, indent=1) + "\n")
    print(where.read_text())


def finished(home: Path) -> bool:
    """Whether a job's model is there; a card alone is that of a job stopped while it wrote."""
    return (home / "model.json").is_file() and (home / "scales.safetensors").is_file() and (home / "samples.safetensors").is_file()


def progress(home: Path) -> tuple[int, float]:
    """Steps done and seconds of training."""
    if (home / "model.json").is_file():
        card = json.loads((home / "card.json").read_text())
        return card["steps"], card["seconds"][0]
    files = list((home / "checkpoints").glob("*.pt"))
    if not files:
        return 0, 0.0
    import torch

    state = torch.load(files[0], map_location="cpu", weights_only=True)["state"]
    return state["step"], state["seconds"]


def tensors(data: Path, study: str) -> Path:
    """Return the file of a study's tensors."""
    return data / study / "tensors" / "unimat.safetensors"


def _peak(device: str, size: int) -> float:
    import torch

    a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    for repeats in (3, 20):  # the first warms up
        start = time.perf_counter()
        for _ in range(repeats):
            a @ b
        if device == "cuda":
            torch.cuda.synchronize()
    return 2 * size**3 * 20 / (time.perf_counter() - start)


def _device_name(device: str) -> str:
    import torch

    return torch.cuda.get_device_name() if device == "cuda" else "cpu"


if __name__ == "__main__":
    raise SystemExit(main())
