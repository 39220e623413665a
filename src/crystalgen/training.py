"""The one training loop: any network, objective and data. Torch only.

Every random choice of a step comes from (seed, step) alone, so a run that was killed and taken up again from
its checkpoint ends in the same weights as one that was not.
"""

import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from crystalgen.config import Training
from crystalgen.files import atomic
from crystalgen.losses import weighted_mse
from crystalgen.objectives import Objective
from crystalgen.tensors import TRAIN, VAL, Batch, MatrixData, UniMatData

VALIDATION_ROWS = 512  # at most; the same rows and noise each time, so that the curve is smooth
_STREAMS = {"order": 1, "step": 2, "validation": 3, "weights": 4}


@dataclass(frozen=True)
class Trained:
    """What training leaves.

    net: the network with its averaged (EMA) weights.
    curve: one dict per report: step, loss (mean since the last report), val_loss, learning_rate.
    seconds: of training, interrupted runs included.
    resumed: whether a checkpoint was taken up.
    """

    net: nn.Module
    curve: list[dict]
    seconds: float
    resumed: bool


def train(make_net: Callable[[], nn.Module], objective: Objective, data: MatrixData | UniMatData, settings: Training,
          checkpoint: Path, fingerprint: str) -> Trained:  # fmt: skip
    """Train to `settings.steps`; returns the averaged network and the loss curve.

    Args:
        make_net: builds the network; called once, under the study's seed.
        checkpoint: where the run's state is kept while it runs; removed at the end.
        fingerprint: of everything that decides the run; a checkpoint with another one is not taken up.

    Raises:
        FloatingPointError: the loss is no longer finite; the message names the step.
    """
    torch.set_num_threads(settings.threads)
    torch.manual_seed(_seed(settings.seed, "weights", 0))
    net = make_net()
    accelerator = Accelerator(mixed_precision=settings.precision)
    average = AveragedModel(net, device=accelerator.device, multi_avg_fn=_ema(settings.ema), use_buffers=False)
    optimiser = torch.optim.AdamW(net.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _learning_rate_factor(step, settings))
    net, optimiser = accelerator.prepare(net, optimiser)
    state = {"step": 0, "curve": [], "seconds": 0.0}
    parts = {"net": accelerator.unwrap_model(net), "average": average, "optimiser": optimiser, "schedule": schedule}
    if accelerator.scaler is not None:
        parts["scaler"] = accelerator.scaler
    resumed = _load(checkpoint, fingerprint, parts, state)
    rows, losses, start = data.rows(TRAIN), [], time.perf_counter() - state["seconds"]
    batches = _row_batches(rows, settings, state["step"])
    for step in range(state["step"], settings.steps):
        net.train()
        loss = _step_loss(net, objective, data.batch(next(batches)).to(accelerator.device), settings.seed, "step", step, accelerator)
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
            state["curve"].append(_report(done, losses, average.module, objective, data, settings, schedule, accelerator))
            losses.clear()
        if done % settings.checkpoint_every == 0 and done < settings.steps and not losses:
            state |= {"step": done, "seconds": time.perf_counter() - start}
            _save(checkpoint, fingerprint, parts, state)
    checkpoint.unlink(missing_ok=True)
    return Trained(average.module.cpu().eval(), state["curve"], time.perf_counter() - start, resumed)


def _step_loss(net, objective: Objective, batch: Batch, seed: int, stream: str, step: int, accelerator: Accelerator) -> Tensor:
    number = _seed(seed, stream, step)
    torch.manual_seed(number)  # dropout
    x_t, t, target = objective.corrupt(batch.x, torch.Generator().manual_seed(number))
    with accelerator.autocast():
        prediction = net(x_t, t, batch.condition)
    return weighted_mse(prediction, target, batch.weight)


def _report(step: int, losses: list[float], net, objective, data, settings: Training, schedule, accelerator: Accelerator) -> dict:
    net.eval()
    rows = data.rows(VAL)[:VALIDATION_ROWS]
    with torch.no_grad():
        parts = rows.split(settings.batch_size)
        values = [
            float(_step_loss(net, objective, data.batch(r).to(accelerator.device), settings.seed, "validation", i, accelerator)) * len(r)
            for i, r in enumerate(parts)
        ]
    val_loss = sum(values) / len(rows) if len(rows) else math.nan
    entry = {"step": step, "loss": sum(losses) / len(losses), "val_loss": val_loss, "learning_rate": schedule.get_last_lr()[0]}
    print(f"step {step}/{settings.steps}  loss {entry['loss']:.4f}  val {val_loss:.4f}", file=sys.stderr, flush=True)
    return entry


def _row_batches(rows: Tensor, settings: Training, first: int) -> Iterator[Tensor]:
    """Batches of a fresh order each epoch, starting with that of step `first`; the last, short one is dropped."""
    size = min(settings.batch_size, len(rows))
    per_epoch = len(rows) // size
    epoch, skip = divmod(first, per_epoch)
    while True:
        generator = torch.Generator().manual_seed(_seed(settings.seed, "order", epoch))
        order = rows[torch.randperm(len(rows), generator=generator)]
        for i in range(skip, per_epoch):
            yield order[i * size : (i + 1) * size]
        epoch, skip = epoch + 1, 0


def _learning_rate_factor(step: int, settings: Training) -> float:
    """Linear warm-up, then half a cosine to zero (B A.3)."""
    if step < settings.warmup:
        return (step + 1) / settings.warmup
    progress = (step - settings.warmup) / max(1, settings.steps - settings.warmup)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def _ema(decay: float):
    """Exponential moving average whose decay grows to its value, so that a short run forgets its start."""

    @torch.no_grad()
    def update(averages: list[Tensor], values: list[Tensor], count: Tensor) -> None:
        ramp = (1 + float(count)) / (10 + float(count))
        torch._foreach_lerp_(averages, values, 1 - min(decay, ramp))

    return update


def _seed(seed: int, stream: str, number: int) -> int:
    return (seed * 1_000_003 + _STREAMS[stream]) * 10_000_019 + number


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
