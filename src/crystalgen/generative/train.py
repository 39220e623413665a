"""The one training loop: any network, objective and data. Torch only.

Every random choice of a step comes from (seed, step) alone, so a run that was killed and taken up again from
its checkpoint ends in the same weights as one that was not. Under `accelerate launch` with several processes each takes its share
of every batch; the noise is drawn for the whole batch in each of them, so that the result is that of one process, up to rounding.
"""

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from crystalgen.generative.data.format import VAL
from crystalgen.generative.data.matrix import Batch, MatrixData
from crystalgen.generative.data.unimat import UniMatData
from crystalgen.generative.objectives.base import Objective
from crystalgen.generative.samplers import Net
from crystalgen.generative.settings import Training
from crystalgen.utils.files import atomic

VALIDATION_ITEMS = 512  # at most; the same items and noise each time, so that the curve is smooth
_STREAMS = {
    "order": 1,
    "step": 2,
    "validation": 3,
    "weights": 4,
    "dropout": 5,
    "augmentation": 6,
    "space_group": 7,
    "batches": 8,
    "template": 9,
}


@dataclass(frozen=True)
class Trained:
    """What training leaves.

    seed: of the run.
    net: the network with its averaged (EMA) weights.
    curve: one dict per report: step, loss (mean since the last report), val_loss, learning_rate.
    seconds: of training, interrupted runs included.
    resumed: whether a checkpoint was taken up.
    """

    seed: int
    net: nn.Module
    curve: list[dict]
    seconds: float
    resumed: bool


def train(make_net: Callable[[], nn.Module], objective: Objective, data: MatrixData | UniMatData, settings: Training, seed: int,
          checkpoint: Path, fingerprint: str) -> Trained:  # fmt: skip
    """Train to `settings.steps`; returns the averaged network and the loss curve.

    Args:
        make_net: builds the network; called once, under the seed.
        seed: of everything random in the run.
        checkpoint: where the run's state is kept, the end's too: whoever has saved the result removes it.
        fingerprint: of everything that decides the run; a checkpoint with another one is not taken up.

    Raises:
        FloatingPointError: the loss is no longer finite; the message names the step.
        ValueError: the data hold nothing to train on, or several processes cannot share the batches evenly.
    """
    torch.set_num_threads(settings.threads)
    torch.manual_seed(_seed(seed, "weights", 0))
    net = make_net()
    accelerator = Accelerator(mixed_precision=settings.precision)
    share = _share(settings, accelerator)
    average = AveragedModel(net, device=accelerator.device, multi_avg_fn=ema(settings.ema), use_buffers=False)
    optimiser = torch.optim.AdamW(net.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _learning_rate_factor(step, settings))
    net, optimiser = accelerator.prepare(net, optimiser)
    state = {"step": 0, "curve": [], "seconds": 0.0, "losses": []}  # losses since the last report
    parts = {"net": accelerator.unwrap_model(net), "average": average, "optimiser": optimiser, "schedule": schedule}
    if accelerator.scaler is not None:
        parts["scaler"] = accelerator.scaler
    resumed = _load(checkpoint, fingerprint, parts, state)
    losses, start = state["losses"], time.perf_counter() - state["seconds"]
    batches = _item_batches(data, settings.batch_size, seed, state["step"], settings.batches == "length")
    for step in range(state["step"], settings.steps):
        net.train()
        batch = data.batch(next(batches), torch.Generator().manual_seed(_seed(seed, "augmentation", step)))
        batch = _drop_conditions(batch, settings.condition_dropout, _seed(seed, "dropout", step))
        batch = _drop_space_groups(batch, settings.space_group_dropout, _seed(seed, "space_group", step))
        batch = _drop_templates(batch, settings.template_dropout, _seed(seed, "template", step))
        loss = _step_loss(net, objective, batch.to(accelerator.device), _seed(seed, "step", step), accelerator, share)
        if not torch.isfinite(loss):
            raise FloatingPointError(f"the loss is {float(loss)} at step {step}; try a lower learning_rate than {settings.learning_rate}")
        optimiser.zero_grad()
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(net.parameters(), settings.clip)  # unscales fp16 gradients first
        optimiser.step()
        schedule.step()
        average.update_parameters(accelerator.unwrap_model(net))
        losses.append(float(loss.detach()))
        done = step + 1
        if done % settings.report_every == 0 or done == settings.steps:
            state["curve"].append(_report(done, losses, average.module, objective, data, settings, seed, schedule, accelerator))
            losses.clear()
        if done == settings.steps or done % settings.checkpoint_every == 0:
            state |= {"step": done, "seconds": time.perf_counter() - start}
            if accelerator.is_main_process:
                _save(checkpoint, fingerprint, parts, state)
    return Trained(seed, average.module.cpu().eval(), state["curve"], state["seconds"], resumed)


def _share(settings: Training, accelerator: Accelerator) -> slice:
    """The samples of a batch that this process takes."""
    count = accelerator.num_processes
    if settings.batch_size % count:
        raise ValueError(f"batch_size {settings.batch_size}: expected a multiple of the {count} processes that share it")
    if settings.batches == "length" and count > 1:
        raise ValueError(f"batches by length are not all of a size, which {count} processes cannot share; expected one process")
    return slice(accelerator.process_index, None, accelerator.num_processes)


@torch.no_grad()
def validation_loss(net: Net, objective: Objective, data: MatrixData | UniMatData, settings: Training, seed: int,
                    accelerator: Accelerator | None = None) -> float:  # fmt: skip
    """Return the loss on at most `VALIDATION_ITEMS` validation items, which, like the noise, are the same each time; NaN without any."""
    items = data.items(VAL)
    items = items[torch.randperm(len(items), generator=torch.Generator().manual_seed(0))[:VALIDATION_ITEMS]]
    total, parts = 0.0, items.split(settings.batch_size) if len(items) else ()
    for i, part in enumerate(parts):
        batch = data.batch(part).to(accelerator.device if accelerator else "cpu")
        total += float(_step_loss(net, objective, batch, _seed(seed, "validation", i), accelerator)) * len(part)
    return total / len(items) if len(items) else math.nan


def _step_loss(net: Net, objective: Objective, batch: Batch, number: int, accelerator: Accelerator | None,
               share: slice = slice(None)) -> Tensor:  # fmt: skip
    torch.manual_seed(number)  # dropout
    x_t, t, target, scale = objective.corrupt(batch.x, batch.condition, torch.Generator().manual_seed(number))
    condition = {name: value[share] for name, value in batch.condition.items()}
    with accelerator.autocast() if accelerator else nullcontext():
        prediction = net(x_t[share], t[share], condition)
    weight = batch.weight[share] if len(batch.weight) == len(batch.x) else batch.weight
    if scale is not None:
        scale = scale[share].view(-1, *[1] * (target.dim() - 1))
        return objective.loss(prediction * scale, target[share] * scale, weight)
    return objective.loss(prediction, target[share], weight)


def _drop_conditions(batch: Batch, share: float, number: int) -> Batch:
    """Make the properties of a share of the samples unknown, so that the network learns to do without (for guidance)."""
    masks = {name: known for name, known in batch.condition.items() if name.endswith("_known")}
    if share == 0 or not masks:
        return batch
    kept = _kept(batch, share, number)
    return replace(batch, condition=batch.condition | {name: known & kept for name, known in masks.items()})


def _drop_space_groups(batch: Batch, share: float, number: int) -> Batch:
    """Make the space groups of a share of matrices unknown, see `_drop_conditions`."""
    if share == 0:
        return batch
    return replace(batch, condition=batch.condition | {"space_group": batch.condition["space_group"] * _kept(batch, share, number)})


def _drop_templates(batch: Batch, share: float, number: int) -> Batch:
    """Hide the templates of a share of matrices, see `_drop_conditions`."""
    if share == 0:
        return batch
    start = batch.condition["start"].masked_fill(~_kept(batch, share, number)[:, None, None], torch.nan)
    return replace(batch, condition=batch.condition | {"start": start})


def _kept(batch: Batch, share: float, number: int) -> Tensor:
    """Which samples keep what a share of them is not told, bool (B,)."""
    return torch.rand(len(batch.x), generator=torch.Generator().manual_seed(number)) >= share


def _report(step: int, losses: list[float], net, objective, data, settings: Training, seed: int, schedule,
            accelerator: Accelerator) -> dict:  # fmt: skip
    net.eval()
    val_loss = validation_loss(net, objective, data, settings, seed, accelerator)
    entry = {"step": step, "loss": sum(losses) / len(losses), "val_loss": val_loss, "learning_rate": schedule.get_last_lr()[0]}
    if accelerator.is_main_process:
        print(f"seed {seed}  step {step}/{settings.steps}  loss {entry['loss']:.4f}  val {val_loss:.4f}", file=sys.stderr, flush=True)
    return entry


def _item_batches(data: MatrixData | UniMatData, batch_size: int, seed: int, first: int, by_length: bool = False) -> Iterator[Tensor]:
    """Batches of a fresh epoch each time, starting with that of step `first`.

    An epoch's last, short batch is dropped; an epoch shorter than a batch is taken whole. By length, every item is in a batch: the
    last ones of a length are a short batch, and the batches stand in random order. An empty epoch is a ValueError.
    """

    def epoch_batches(epoch: int) -> list[Tensor]:
        items = data.epoch(torch.Generator().manual_seed(_seed(seed, "order", epoch)))
        if not by_length:
            return list(items.split(batch_size))[: max(len(items) // batch_size, 1)]
        lengths = data.lengths(items)
        batches = [part for length in lengths.unique() for part in items[lengths == length].split(batch_size)]
        order = torch.randperm(len(batches), generator=torch.Generator().manual_seed(_seed(seed, "batches", epoch)))
        return [batches[i] for i in order.tolist()]

    batches = epoch_batches(0)
    if not batches or len(batches[0]) == 0:
        raise ValueError("there is nothing to train on: no crystal, or for modification no pair of polymorphs, on the side 'train'")
    epoch, skip = divmod(first, len(batches))  # as many in each
    while True:
        yield from epoch_batches(epoch)[skip:]
        epoch, skip = epoch + 1, 0


def _learning_rate_factor(step: int, settings: Training) -> float:
    """Linear warm-up, then half a cosine to zero (B A.3)."""
    if step < settings.warmup:
        return (step + 1) / settings.warmup
    progress = (step - settings.warmup) / max(1, settings.steps - settings.warmup)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def ema(decay: float):
    """Return an exponential moving average whose decay grows to its value, so that a short run forgets its start."""

    @torch.no_grad()
    def update(averages: list[Tensor], values: list[Tensor], count: Tensor) -> None:
        ramp = (1 + float(count)) / (10 + float(count))
        torch._foreach_lerp_(averages, values, 1 - min(decay, ramp))

    return update


def _seed(seed: int, stream: str, number: int) -> int:
    return ((seed * 1_000_003 + _STREAMS[stream]) * 10_000_019 + number) % 2**63


def _save(path: Path, fingerprint: str, parts: dict, state: dict) -> None:
    states = {name: part.state_dict() for name, part in parts.items()}
    with atomic(path) as partial:
        torch.save({"fingerprint": fingerprint, "state": dict(state), "parts": states}, partial)


def _load(path: Path, fingerprint: str, parts: dict, state: dict) -> bool:
    """Fill `parts` and `state` from the checkpoint; False if there is none of this run."""
    if not path.is_file():
        return False
    saved = torch.load(path, map_location="cpu", weights_only=True)
    if saved["fingerprint"] != fingerprint:
        return False
    for name, part in parts.items():
        part.load_state_dict(saved["parts"][name])
    state |= saved["state"]
    return True
