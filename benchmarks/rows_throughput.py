"""How fast the transformer over rows trains on one core: samples and operations a second, and their share of what a matrix product reaches.

`taskset -c 0 python benchmarks/rows_throughput.py [--tensors FILE] [--net rows_cpu] [--objective masked] [--profile]`; one thread.
"""

import argparse
import time
from contextlib import nullcontext
from pathlib import Path

import torch
from pydantic import TypeAdapter

from crystalgen.generative.cost import TRAINING_FACTOR, cost
from crystalgen.generative.data.matrix import MatrixData
from crystalgen.generative.settings import MatrixModel
from crystalgen.generative.train import _item_batches

TYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


def peak(dtype: torch.dtype, size: int = 1024, repeats: int = 20) -> float:
    """Operations a second of a product of square matrices."""
    a, b = (torch.randn(size, size).to(dtype) for _ in range(2))
    a @ b
    start = time.perf_counter()
    for _ in range(repeats):
        a @ b
    return 2 * size**3 * repeats / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tensors", type=Path, default=Path("data/processed/mp_20_generator/tensors/matrix.safetensors"))
    parser.add_argument("--net", default="rows_cpu")
    parser.add_argument("--objective", nargs="+", default=["masked"])
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for objective in options.objective:
        for name, dtype in TYPES.items():
            measure(options, objective, name, dtype)


def measure(options: argparse.Namespace, objective_name: str, name: str, dtype: torch.dtype) -> None:
    settings = {
        "net": options.net,
        "objective": {"name": objective_name},
        "augment": ["order"],
        "training": {"steps": 1, "batch_size": options.batch, "batches": "length"},
        "sampling": {"a": {"sampler": "unmask" if objective_name == "masked" else "euler", "steps": 10}},
    }
    model = TypeAdapter(MatrixModel).validate_python(settings)
    data = MatrixData(options.tensors, model.augment, trim=True)
    torch.manual_seed(0)
    net, objective = model.build_net(data.codec), model.objective.build()
    optimiser = torch.optim.AdamW(net.parameters(), lr=1e-3, fused=True)
    batches, context = (
        _item_batches(data, options.batch, 0, 0, True),
        (lambda: torch.autocast("cpu", torch.bfloat16)) if name == "bf16" else nullcontext,
    )
    operations = samples = 0
    generator = torch.Generator().manual_seed(0)

    def step(batch) -> None:
        x_t, t, target = objective.corrupt(batch.x, batch.condition, generator)
        with context():
            prediction = net(x_t, t, batch.condition)
        loss = objective.loss(prediction, target, batch.weight)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()

    for _ in range(3):
        step(data.batch(next(batches), generator))
    start = time.perf_counter()
    with torch.profiler.profile() if options.profile else nullcontext() as profile:
        for _ in range(options.steps):
            items = next(batches)
            step(data.batch(items, generator))
            samples += len(items)
    seconds = time.perf_counter() - start
    batches = _item_batches(data, options.batch, 0, 3, True)
    for _ in range(options.steps):
        batch = data.batch(next(batches)[:1])
        operations += TRAINING_FACTOR * cost(net, tuple(batch.x.shape[1:]), batch.condition).flops * options.batch
    operations *= samples / (options.batch * options.steps)
    rate, best = operations / seconds, peak(dtype)
    parameters = sum(p.numel() for p in net.parameters())
    print(
        f"{options.net} {objective_name} {name}: {parameters / 1e6:.2f} M parameters, {samples / seconds:.0f} samples/s, "
        f"{operations / samples / 1e6:.0f} MFLOP/sample, {rate / 1e9:.0f} GFLOP/s, {rate / best:.0%} of {best / 1e9:.0f} GFLOP/s"
    )
    if options.profile:
        print(profile.key_averages().table(sort_by="self_cpu_time_total", row_limit=28, max_name_column_width=50))


if __name__ == "__main__":
    main()
