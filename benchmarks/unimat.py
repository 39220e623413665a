"""UniMat's cost against L and width: training samples/s, sampled crystals/s and memory, dense beside places in use, in one run.

    python benchmarks/unimat.py [--depths 4 12 20] [--widths 32 64] [--threads 2]

Crystals are made up, each of three elements, L atoms of one and one of the others, on the whole 9 x 18 table; weights are
untrained: speed depends on neither. Memory is the process's largest resident size so far, so that sizes run from small
to large, each in a process of its own; on a GPU it is torch's peak.
"""

import argparse
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from crystalgen.crystals import from_columns
from crystalgen.generative.jobs import load_data
from crystalgen.generative.sample import draw_samples
from crystalgen.generative.settings import Sampling, UniMatModel
from crystalgen.represent.tensors import save_tensors, unimat_tensors

CRYSTALS = 64


def main() -> None:
    """Print one line for each depth, width and network, and the ratio of the two networks."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--depths", type=int, nargs="+", default=[4, 12, 20])
    parser.add_argument("--widths", type=int, nargs="+", default=[32, 64])
    parser.add_argument("--steps", type=int, default=5, help="training and sampling steps that are timed")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    print(f"{'L':>3} {'width':>5} {'network':>9} {'parameters':>10} {'trained/s':>10} {'sampled/s':>10} {'memory, MB':>10}")
    for depth in options.depths:
        for width in options.widths:
            rates = {name: _alone(name, depth, width, options) for name in ("dense", "occupied")}
            for name, (parameters, trained, sampled, memory) in rates.items():
                print(f"{depth:>3} {width:>5} {name:>9} {parameters:>10} {trained:>10.1f} {sampled:>10.2f} {memory:>10.0f}")
            ratio = rates["occupied"][1] / rates["dense"][1], rates["occupied"][2] / rates["dense"][2]
            print(f"{'':>9} occupied trains {ratio[0]:.0f} and samples {ratio[1]:.0f} times as fast", flush=True)


def _alone(*arguments) -> tuple[int, float, float, float]:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measure, arguments)


def _measure(name: str, depth: int, width: int, options) -> tuple[int, float, float, float]:
    torch.set_num_threads(options.threads)
    net = {"name": "unet3d", "channels": width} if name == "dense" else {"name": "places", "channels": 2 * width}
    model = UniMatModel.model_validate(
        {
            "input": {"cell": "token", "composition": "exact"},
            "net": net,
            "training": {"steps": 1},
            "sampling": {"row": {"sampler": "ddim", "steps": options.steps}},
            "objective": {"name": "diffusion", "train_steps": 1000},
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "u.safetensors"
        save_tensors(unimat_tensors(_crystals(depth)), file)
        data = load_data(model, file)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    made, objective = model.net.build(data.codec).to(device), model.objective.build()
    optimiser = torch.optim.AdamW(made.parameters())
    size = 16 if device == "cpu" else CRYSTALS

    def train_step() -> None:
        batch = data.batch(torch.arange(size)).to(device)
        x_t, t, target = objective.corrupt(batch.x, batch.condition, torch.Generator().manual_seed(0))
        objective.loss(made(x_t, t, batch.condition), target, batch.weight).backward()
        optimiser.step()
        optimiser.zero_grad()

    train_step()  # warms up
    start = time.perf_counter()
    for _ in range(options.steps):
        train_step()
    if device == "cuda":
        torch.cuda.synchronize()
    trained = options.steps * size / (time.perf_counter() - start)
    start = time.perf_counter()
    draw_samples(made, objective, data.codec.shape, data.condition(torch.arange(size)), size, Sampling(sampler="ddim", steps=options.steps))
    sampled = size / (time.perf_counter() - start) * options.steps / 256  # at the 256 steps of paper A
    memory = torch.cuda.max_memory_allocated() / 1e6 if device == "cuda" else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    return sum(p.numel() for p in made.parameters()), trained, sampled, memory


def _crystals(depth: int):
    generator = np.random.default_rng(0)
    numbers = []
    for _ in range(CRYSTALS):
        kinds = generator.choice(np.arange(1, 104), 3, replace=False)
        numbers.append(np.repeat(kinds, [depth, 1, 1]))
    numbers.append(np.arange(1, 104))  # the whole table is in use; no batch holds this one
    coords = [generator.random((len(z), 3)) for z in numbers]
    table = from_columns([np.eye(3) * 9] * len(numbers), numbers, coords, "made up")
    return table.assign(split="train")


if __name__ == "__main__":
    main()
