"""The lean and the published matrix network, side by side: parameters, operations, training steps a second, memory.

    python benchmarks/presets.py [--steps 3]

Each runs in a process of its own, for peak memory is a process's; on a GPU it is the GPU's. Needs the `library` study's
tensors (`dvc repro representations@library`). MFU is the share of the GPU's peak that training reaches, where `--peak-tflops` names it.
"""

import argparse
import json
import resource
import subprocess
import sys
import time

import torch

from crystalgen.generative.cost import TRAINING_FACTOR, cost
from crystalgen.generative.data.format import TRAIN
from crystalgen.generative.data.matrix import MatrixData
from crystalgen.generative.nets.unet1d.model import UNet1d
from crystalgen.generative.nets.unet1d.settings import UNet1dConfig
from crystalgen.generative.objectives.settings import Flow
from crystalgen.represent.matrix import PAPER_ROWS
from crystalgen.utils import paths

BATCH = 64


def measure(preset: str, rows: int, steps: int) -> dict:
    """Train a few steps on the library's crystals, padded to `rows`."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    data = MatrixData(paths.tensors("library", "matrix"))
    tensors = data.tensors
    net = UNet1d(rows, tensors["element_properties"], tensors["operations"], UNet1dConfig.preset(preset)).to(device)
    batch = data.batch(data.items(TRAIN)[:BATCH])
    x, weight, condition = (_padded(value, rows) for value in (batch.x, batch.weight, batch.condition))
    x, weight, condition = x.to(device), weight.to(device), {k: v.to(device) for k, v in condition.items()}
    optimiser = torch.optim.AdamW(net.parameters(), fused=True)
    objective, generator = Flow().build(), torch.Generator().manual_seed(0)
    price = cost(net, x.shape[1:], {k: v[:1] for k, v in condition.items()})
    net.train()
    for step in range(steps + 1):
        if step == 1:  # the first one warms up
            start = time.perf_counter()
        x_t, t, target = objective.corrupt(x, condition, generator)
        objective.loss(net(x_t, t, condition), target, weight).backward()
        optimiser.step()
        optimiser.zero_grad()
        if device.type == "cuda":
            torch.cuda.synchronize()
    seconds = (time.perf_counter() - start) / steps
    memory = torch.cuda.max_memory_allocated() if device.type == "cuda" else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "preset": preset,
        "rows": rows,
        "parameters_M": price.parameters / 1e6,
        "MFLOP_per_sample": price.flops / 1e6,
        "steps_per_second": 1 / seconds,
        "training_TFLOP_per_second": TRAINING_FACTOR * price.flops * BATCH / seconds / 1e12,
        "peak_memory_GB": memory / 1e9,
    }


def _padded(value, rows: int):
    """Matrices (B, r, ...) made `rows` long: empty rows before the lattice."""
    if isinstance(value, dict):
        return {k: _padded(v, rows) if v.dim() > 1 else v for k, v in value.items()}
    middle = torch.zeros(len(value), rows - value.shape[1], *value.shape[2:], dtype=value.dtype)
    return torch.cat([value[:, :-3], middle, value[:, -3:]], dim=1)


def main() -> None:
    """Measure each preset in its own process and print a table with ratios."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--peak-tflops", type=float, help="of the GPU in the precision used; prints MFU")
    parser.add_argument("--one", nargs=2, metavar=("PRESET", "ROWS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one[0], int(options.one[1]), options.steps)))
        return
    library_rows = MatrixData(paths.tensors("library", "matrix")).codec.shape[0]
    results = []
    for preset, rows in (("lean", library_rows), ("lean", PAPER_ROWS), ("published", library_rows), ("published", PAPER_ROWS)):
        command = [sys.executable, __file__, "--steps", str(options.steps), "--one", preset, str(rows)]
        results.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
        print({k: round(v, 3) if isinstance(v, float) else v for k, v in results[-1].items()}, flush=True)
    lean, published = results[0], results[-1]
    for name in ("parameters_M", "MFLOP_per_sample", "steps_per_second", "peak_memory_GB"):
        print(f"published at {PAPER_ROWS} rows / lean at {library_rows} rows, {name}: {published[name] / lean[name]:.3g}")
    if options.peak_tflops:
        for result in results:
            print(f"{result['preset']}, {result['rows']} rows: MFU {result['training_TFLOP_per_second'] / options.peak_tflops:.1%}")


if __name__ == "__main__":
    main()
