"""Train the networks of this room: any network, batches and loss; an epoch at a time, resumable after each. Torch only."""

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from crystalgen.config import NetworkTraining
from crystalgen.generative.train import ema
from crystalgen.utils.files import atomic

_LOG = logging.getLogger(__name__)
_WARM_UP = 100  # steps
_LEAST_RATE = 0.02  # of the highest, at the end


@dataclass(frozen=True)
class Run:
    """A trained network with its averaged weights, the mean loss of each epoch, steps and seconds, interrupted runs included."""

    net: nn.Module
    losses: list[float]
    steps: int
    seconds: float


def train(make_net: Callable[[], nn.Module], batches: Callable[[np.random.Generator], Sequence[np.ndarray]],
          loss: Callable[[nn.Module, np.ndarray], Tensor], settings: NetworkTraining, checkpoint: Path,
          fingerprint: str) -> Run:  # fmt: skip
    """Train for `settings.epochs`.

    Every random choice of an epoch follows from (seed, epoch), so that a resumed run ends in the same weights.

    Args:
        make_net: builds the network.
        batches: draws the batches of an epoch, each an array of items.
        loss: of a batch.
        checkpoint: where the state is kept after every epoch.
        fingerprint: of all that decides the run; a checkpoint of another is not taken up.

    Raises:
        FloatingPointError: the loss is no longer finite.
    """
    torch.set_num_threads(settings.threads)
    torch.manual_seed(settings.seed)
    net = make_net()
    average = AveragedModel(net, multi_avg_fn=ema(settings.ema), use_buffers=False)
    optimiser = torch.optim.AdamW(net.parameters(), settings.learning_rate, (0.9, 0.98), weight_decay=settings.weight_decay, fused=True)
    parts = {"net": net, "average": average, "optimiser": optimiser}
    state = {"epoch": 0, "steps": 0, "seconds": 0.0, "losses": []}
    if checkpoint.is_file():
        saved = torch.load(checkpoint, weights_only=True)
        if saved["fingerprint"] == fingerprint:
            state = saved["state"]
            for name, part in parts.items():
                part.load_state_dict(saved["parts"][name])
    for epoch in range(state["epoch"], settings.epochs):
        start, losses = time.perf_counter(), []
        torch.manual_seed(settings.seed * 10_007 + epoch)
        items = batches(np.random.default_rng([settings.seed, epoch]))
        net.train()
        for place, batch in enumerate(items):
            rate = _rate((epoch + place / len(items)) / settings.epochs, state["steps"])
            for group in optimiser.param_groups:
                group["lr"] = settings.learning_rate * rate
            with torch.autocast("cpu", torch.bfloat16, enabled=settings.precision == "bf16"):
                value = loss(net, batch)
            if not torch.isfinite(value):
                raise FloatingPointError(
                    f"the loss is {float(value)} in epoch {epoch}; try a lower learning_rate than {settings.learning_rate}"
                )
            optimiser.zero_grad()
            value.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimiser.step()
            average.update_parameters(net)
            state["steps"] += 1
            losses.append(float(value.detach()))
        state |= {"epoch": epoch + 1, "seconds": state["seconds"] + time.perf_counter() - start}
        state["losses"] = [*state["losses"], float(np.mean(losses))]
        with atomic(checkpoint) as partial:
            saved = {name: part.state_dict() for name, part in parts.items()}
            torch.save({"fingerprint": fingerprint, "state": state, "parts": saved}, partial)
        _LOG.info("epoch %d of %d, %.0f s, loss %.4f", epoch + 1, settings.epochs, state["seconds"], state["losses"][-1])
    return Run(average.module.eval(), state["losses"], state["steps"], state["seconds"])


def equal_batches(kinds: np.ndarray, size: int, rng: np.random.Generator, items: np.ndarray | None = None) -> list[np.ndarray]:
    """Split items into batches of one kind each, in random order.

    Args:
        kinds: of every item, (n,), such as its number of sites. items: those to use; all if None.
    """
    items = np.arange(len(kinds)) if items is None else items
    batches = []
    for kind in np.unique(kinds[items]):
        some = rng.permutation(items[kinds[items] == kind])
        batches += [some[start : start + size] for start in range(0, len(some), size)]
    return [batches[place] for place in rng.permutation(len(batches))]


def _rate(progress: float, steps: int) -> float:
    cosine = 0.5 * (1 + math.cos(math.pi * progress))
    return min(1.0, (steps + 1) / _WARM_UP) * (_LEAST_RATE + (1 - _LEAST_RATE) * cosine)
