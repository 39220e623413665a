"""Training UniMat from a folder of shards beside training from memory: samples/s at MP-20's size, and the memory of 2 million crystals.

    python benchmarks/shards.py [--large 2000000] [--steps 60]

Crystals are made up, with MP-20's sizes: 1 to 20 atoms of 89 elements. Every measurement is of a process of its own; memory is the
process's largest resident size, and what it had before it read data stands beside it. Seconds are of CPU, which other work on the
machine changes less than the clock's.
"""

import argparse
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from crystalgen.generative.data.format import CRYSTALS
from crystalgen.generative.data.shards import write_shards
from crystalgen.generative.jobs import load_data
from crystalgen.generative.settings import UniMatModel
from crystalgen.generative.train import _item_batches

SMALL = 27_136  # MP-20's training crystals
ELEMENTS, DEPTH, LONGEST, CHUNK = 89, 20, 20, 50_000
NET = {"name": "places", "token": "element", "scores": True, "skips": True, "channels": 64, "blocks": 4, "heads": 4}


def main() -> None:
    """Print a line for each measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large", type=int, default=2_000_000)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--folder", type=Path, help="for the data; a temporary one without")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        home = Path(folder)
        every = {name: torch.cat([chunk[name] for chunk in made(SMALL)]) for name in CRYSTALS["unimat"]}
        save_file(every | tables(), home / "memory.safetensors")
        write_shards([every], tables(), home / "shards")
        measured = {}
        for what in ("batches", "training"):
            for name in ("memory.safetensors", "shards"):
                measured[what, name] = alone(what, home / name, options)
                print(
                    f"{what:9s} {name:20s} {SMALL:8d} crystals  {measured[what, name][0]:9.1f} samples/s  {_memory(measured[what, name])}",
                    flush=True,
                )
            ratio = measured[what, "shards"][0] / measured[what, "memory.safetensors"][0]
            print(f"{what:9s} shards are {ratio:.3f} times as fast", flush=True)
        start = time.perf_counter()
        write_shards(made(options.large), tables(), home / "large")
        size = sum(file.stat().st_size for file in (home / "large").iterdir())
        print(f"writing   {options.large} crystals: {time.perf_counter() - start:.0f} s, {size / 1e6:.0f} MB", flush=True)
        for what in ("batches", "training"):
            found = alone(what, home / "large", options, steps=options.steps if what == "training" else 20 * options.steps)
            print(f"{what:9s} {'large':20s} {options.large:8d} crystals  {found[0]:9.1f} samples/s  {_memory(found)}", flush=True)


def alone(what: str, path: Path, options: argparse.Namespace, steps: int | None = None) -> tuple[float, float, float]:
    """Samples/s, and the largest resident size before reading and at the end, MB, of a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure, (what, path, steps or options.steps, options.batch))


def measure(what: str, path: Path, steps: int, batch: int) -> tuple[float, float, float]:
    """Make batches as training does, and with `training` take a step on each."""
    torch.set_num_threads(1)
    model = UniMatModel.model_validate(
        {
            "input": {"cell": "token"},
            "net": NET,
            "objective": {"name": "diffusion", "schedule": "cosine_log_snr", "prediction": "sample", "times": "min_snr"},
            "training": {"steps": 1},
            "sampling": {"row": {"sampler": "ddim", "steps": 1}},
        }
    )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    data = load_data(model, path)
    net, objective = model.build_net(data.codec), model.objective.build()
    optimiser = torch.optim.AdamW(net.parameters())
    batches, generator = _item_batches(data, batch, 0, 0), torch.Generator().manual_seed(0)
    for step in range(steps + 2):
        if step == 2:  # the first ones read and warm up
            start = time.process_time()
        found = data.batch(next(batches), generator)
        if what == "training":
            x_t, t, target = objective.corrupt(found.x, found.condition, generator)
            objective.loss(net(x_t, t, found.condition), target, found.weight).backward()
            optimiser.step()
            optimiser.zero_grad()
    rate = steps * batch / (time.process_time() - start)
    return rate, before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def tables() -> dict[str, Tensor]:
    """What belongs to no single crystal."""
    ones = {f"{name}_{what}": torch.full((1,), float(what == "std")) for name in ("energy", "band_gap") for what in ("mean", "std")}
    cell = {"cell_mean": torch.tensor([6.0, 6, 6, 90, 90, 90]), "cell_std": torch.tensor([2.0, 2, 2, 15, 15, 15])}
    block = torch.zeros(9, 18, dtype=torch.long)
    block.view(-1)[:ELEMENTS] = torch.arange(1, ELEMENTS + 1)
    low = {"cartesian_low": torch.zeros(3), "cartesian_high": torch.full((3,), 10.0)}
    return {"elements": block, "depth": torch.tensor([DEPTH]), **cell, **ones, **low}


def made(count: int) -> Iterator[dict[str, Tensor]]:
    """Crystals in chunks; a fiftieth is for validation."""
    generator = torch.Generator().manual_seed(0)
    for start in range(0, count, CHUNK):
        n = min(CHUNK, count - start)
        sizes = torch.randint(2, LONGEST + 1, (n,), generator=generator)
        kinds = torch.rand(n, ELEMENTS, generator=generator).topk(4, dim=1).indices
        atom = torch.arange(LONGEST)
        place = kinds[:, atom % 4] + (atom // 4) * 9 * 18
        place = torch.where(atom < sizes[:, None], place, -1)
        cell = torch.cat([torch.rand(n, 3, generator=generator) * 6 + 3, torch.rand(n, 3, generator=generator) * 40 + 70], dim=1)
        split = torch.zeros(n, dtype=torch.long)
        split[::50] = 1
        yield {
            "row": torch.arange(start, start + n),
            "place": place,
            "frac_coords": torch.rand(n, LONGEST, 3, generator=generator),
            "cell": cell,
            "split": split,
            "energy": torch.randn(n, generator=generator),
            "band_gap": torch.rand(n, generator=generator),
            "space_group": torch.randint(1, 231, (n,), generator=generator),
        }


def _memory(found: tuple[float, float, float]) -> str:
    return f"{found[2]:.0f} MB at most, {found[1]:.0f} MB before reading"


if __name__ == "__main__":
    main()
