"""Masked prediction: rows are hidden, and the network says what stands there (MaskGXT, arXiv 2606.22866). Torch only."""

import math

import torch
from torch import Tensor

from crystalgen.generative.binned import Bins
from crystalgen.generative.data.format import LATTICE_ROWS
from crystalgen.generative.objectives.base import Corrupted
from crystalgen.generative.objectives.endpoint import lighter_lattice
from crystalgen.generative.objectives.settings import Masked
from crystalgen.generative.samplers import Generators, Net, draw
from crystalgen.generative.settings import Sampling
from crystalgen.generative.symmetry import FREE, Symmetry
from crystalgen.generative.torus import ATOMS

REVISED = 0.5  # share of what is shown that the first revision hides
_DRAWS = 40  # of each orbit's free coordinates, among which a symmetric crystal is looked for at each step


class MaskedPrediction:
    """See `objectives.base.Objective`; what is hidden is NaN in x_t, what is not asked NaN in the target, and t the share shown."""

    def __init__(self, settings: Masked):
        self.settings, self.bins = settings, Bins(settings.bins)

    def corrupt(self, x: Tensor, condition: dict[str, Tensor], generator: torch.Generator) -> Corrupted:
        """Hide a share of the rows, drawn from U(0, 1), at least one; coordinates that are shown are off by a little noise.

        On orbits, the sites of one are hidden together, those that cannot move are shown, and each free orbit weighs what its sites do.
        """
        score = torch.rand(len(x), x.shape[1], self._per_row, generator=generator)
        share = torch.rand(len(x), 1, 1, generator=generator)
        noise = self.settings.noise * torch.randn(x.shape, generator=generator)
        score = score.masked_fill(~_meaning(condition).cpu()[..., None], math.inf)
        if self.settings.orbits:
            score = _of_orbits(score, condition)
        hidden = ((score < share) | (score == score.amin(dim=(1, 2), keepdim=True))).expand(x.shape).to(x.device)
        shown = x.clone()
        shown[:, ATOMS] += noise[:, ATOMS].to(x.device)
        return Corrupted(shown.masked_fill(hidden, math.nan), 1 - share.flatten().to(x.device), x.masked_fill(~hidden, math.nan))

    def loss(self, prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """Return the weighted mean of `Bins.loss` over what is asked; prediction (B, rows, 3, 2 K)."""
        asked = ~target.isnan()
        weight = lighter_lattice(weight.expand_as(target), self.settings.lattice_weight) * asked
        return (self.bins.loss(prediction, torch.nan_to_num(target)) * weight).sum() / weight.sum()

    def prior(self, shape: tuple[int, ...], condition: dict[str, Tensor], generators: Generators) -> Tensor:
        """Hide everything."""
        return torch.full(shape, math.nan)

    def sample(self, net: Net, x: Tensor, condition: dict[str, Tensor], sampling: Sampling, generators: Generators,
               symmetry: Symmetry = FREE) -> Tensor:  # fmt: skip
        """Show what is hidden, see `_shown`; then as many times as `sampling.revisions` says hide a part of it again and show it anew.

        The first values were drawn when little else was known; a revision draws them again beside the others. The part falls from
        REVISED to nothing. Of a symmetry, sites that cannot move are shown from the start.
        """
        meaning = _meaning(condition)[..., None].expand(-1, -1, self._per_row)
        free = meaning & ~symmetry.fixed(torch.zeros_like(meaning))
        known = symmetry.scaffold(torch.nan_to_num(x))
        x = self._shown(net, known, free, 1.0, condition, sampling, generators, symmetry)
        for revision in range(sampling.revisions):
            share = REVISED * (1 - revision / sampling.revisions)
            hidden = symmetry.alike(draw(torch.rand, tuple(meaning.shape), generators).to(x.device)) < share
            x = self._shown(net, x, free & hidden, share, condition, sampling, generators, symmetry)
        return x

    def _shown(self, net: Net, known: Tensor, hidden: Tensor, share: float, condition: dict[str, Tensor], sampling: Sampling,
               generators: Generators, symmetry: Symmetry) -> Tensor:  # fmt: skip
        """Show rows by and by, the surest first, so many as a cosine says; with a temperature, values and order are drawn.

        The condition's `greedy`, where it has one, (B,), says of which samples nothing is drawn. Of a symmetry, orbits are shown
        together, and what is shown is averaged with what is hidden, as it is predicted.

        Args:
            known: (B, rows, 3), of which `hidden` is not looked at; but for a symmetry, which begins there.
            hidden: bool (B, rows, k), no padding. share: about how much that is of all, and so of the steps that are taken.
        """
        meaning = _meaning(condition)[..., None].expand_as(hidden)
        counts, shown, steps = meaning.sum(dim=(1, 2)), meaning & ~hidden, math.ceil(share * sampling.steps)
        temperature = sampling.temperature * (1 - condition.get("greedy", torch.zeros(len(known), device=known.device)).float())
        x = torch.where(_meaning(condition)[..., None], torch.where(shown, known, math.nan), 0.0)
        for step in range(steps):
            left = (share * counts * math.cos(math.pi / 2 * (step + 1) / steps) + 1e-6).floor().long()
            if step == steps - 1:
                left = torch.zeros_like(left)
            due = torch.nonzero(counts - shown.sum(dim=(1, 2)) > left).flatten()  # of others, no row is: there are more steps than rows
            if len(due) == 0:
                continue
            values_noise = order_noise = torch.zeros(len(x), 1, 1, 1, device=x.device)
            if sampling.temperature:
                values_noise = self._gumbel((*x.shape, self.bins.count), temperature, generators)
                order_noise = self._gumbel(meaning.shape, temperature * (1 - (step + 1) / steps), generators)[..., None]
            asked = {name: told[due] for name, told in condition.items()}
            prediction = net(x[due], shown[due].sum(dim=(1, 2)) / counts[due], asked)
            noise, own = values_noise[due], symmetry.of(due)
            values, logs = self.bins.choose(prediction, noise)
            if own is not FREE:
                kept = torch.where(shown[due], x[due], values)
                values, logs, values_kept = self._kept(known[due], kept, shown[due], prediction, noise, own, (due, len(x)), generators)
                known = known.index_copy(0, due, values_kept)
            else:
                known = known.index_copy(0, due, values)
            sure = own.together(logs if self._per_row == 3 else logs.sum(dim=2, keepdim=True)) + order_noise[due][..., 0]
            sure = sure.masked_fill(~meaning[due], -math.inf).masked_fill(shown[due], math.inf)
            rank = sure.flatten(1).argsort(dim=1, descending=True, stable=True).argsort(dim=1).view_as(sure)
            now = (rank < (counts - left)[due, None, None]) & meaning[due]
            now = own.together(now.float()) > 0
            changed = now if own is not FREE else now & ~shown[due]
            x = x.index_copy(0, due, torch.where(changed.expand(-1, -1, 3), known[due], x[due]))
            shown = shown.index_copy(0, due, now)
        return x

    def _kept(self, known: Tensor, values: Tensor, shown: Tensor, prediction: Tensor, noise: Tensor, symmetry: Symmetry,
              due: tuple[Tensor, int], generators: Generators) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        """The likeliest crystal with the symmetry, by the posteriors of all sites: its values, their logarithms, and itself.

        due: which of how many samples these are.
        """
        rows, count = due
        draws = draw(torch.rand, (count, _DRAWS, symmetry.space.orbit.shape[1], 3), generators).to(known.device)[rows].transpose(0, 1) - 0.5
        logs = self.bins.logs(prediction, noise)  # once, for it is asked of many crystals
        known = symmetry.likeliest(known, values, shown, lambda x: logs.gather(3, self.bins.numbers(x)[..., None])[..., 0], draws)
        values, logs = self.bins.at(prediction, known, noise)
        return values, logs, symmetry.anchored(symmetry.toward(known, torch.where(shown, known, values)))

    @property
    def _per_row(self) -> int:
        return 3 if self.settings.unit == "value" else 1

    @staticmethod
    def _gumbel(shape: tuple[int, ...], temperature: Tensor, generators: Generators) -> Tensor:
        uniform = draw(torch.rand, tuple(shape), generators).to(temperature.device).clamp(1e-9, 1 - 1e-7)
        return -torch.log(-torch.log(uniform)) * temperature.view(-1, *[1] * (len(shape) - 1))


def _of_orbits(score: Tensor, condition: dict[str, Tensor]) -> Tensor:
    """Scores of rows (B, rows, k) with those of an orbit's sites alike, over k too, and infinite ones of sites that cannot move."""
    sites = score.shape[1] - LATTICE_ROWS
    orbit, fixed = condition["orbit"][:, :sites].cpu(), condition["fixed"][:, :sites].cpu()
    own = score[:, :sites, 0].gather(1, orbit.clamp(max=sites - 1))  # padding has the number of the last row
    empty = score[:, :sites, 0].isinf()
    return torch.cat([own.masked_fill(fixed | empty, math.inf)[..., None].expand(-1, -1, score.shape[2]), score[:, sites:]], dim=1)


def _meaning(condition: dict[str, Tensor]) -> Tensor:
    """Rows that are no padding, bool (B, rows)."""
    rows = condition["atomic_numbers"] > 0
    rows[:, -LATTICE_ROWS:] = True
    return rows
