"""Sampling speed: 10,000 conditions, 50 Euler steps, lean network, beside small batches, in one run.

    python benchmarks/sample.py [--count 10000]

The weights are untrained: speed does not depend on them. Needs the `library` study's tensors.
"""

import argparse
import time

import torch

from crystalgen.generative import sample
from crystalgen.generative.data.matrix import MatrixData
from crystalgen.generative.nets.unet1d.settings import UNet1dConfig
from crystalgen.generative.objectives.settings import Flow
from crystalgen.generative.sample import draw_samples
from crystalgen.generative.settings import Sampling
from crystalgen.utils import paths


def main() -> None:
    """Print seconds and samples a second, and the ratio of large to small batches."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    data = MatrixData(paths.tensors("library", "matrix"))
    net = UNet1dConfig().build(data.codec)
    items = torch.randint(len(data.x), (options.count,), generator=torch.Generator().manual_seed(0))
    settings = Sampling(sampler="euler", steps=50)

    def rate(count: int) -> float:
        start = time.perf_counter()
        draw_samples(net, Flow().build(), data.codec.shape, data.condition(items[:count]), count, settings)
        return count / (time.perf_counter() - start)

    rate(256)  # warms up
    large = rate(options.count)
    what = f"{options.count} conditions, {settings.steps} steps, {options.threads} threads"
    print(f"{what}: {options.count / large:.0f} s, {large:.0f} samples/s")
    sample.MAX_BATCH = {"cpu": 8, "cuda": 8}
    small = rate(max(options.count // 20, 8))
    print(f"batches of 8: {small:.0f} samples/s; full batches are {large / small:.1f} times as fast")


if __name__ == "__main__":
    main()
