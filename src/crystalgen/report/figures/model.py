"""Diagram of the matrix model as this code builds it: what conditions it, and its U (B Fig. 2)."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from crystalgen.generative.nets.unet1d.settings import UNet1dConfig
from crystalgen.report.style import new_figure

_INPUT, _LAYER, _BLOCKS, _SUM = "#E8E8E8", "#D6E6F2", "#BFDCEB", "#FBE3CC"
_FONT = 8.5
_HALF = 0.42  # height of a box of the U, half of it; a depth is 2 high


def trunk_plan(net: UNet1dConfig, rows: int) -> pd.DataFrame:
    """Return the stages of the U in the order in which they run.

    Returns:
        columns stage (`down`, `middle` or `up`), depth, rows, channels, blocks (residual blocks), skips (how many it
        is given from the way down), attention (bool).
    """
    plan, size, deepest = [], rows, len(net.multipliers) - 1
    for depth, multiplier in enumerate(net.multipliers):
        stage = {"depth": depth, "rows": size, "channels": multiplier * net.channels, "attention": 2**depth in net.attention}
        plan.append({"stage": "down", **stage, "blocks": net.blocks, "skips": 0})
        plan.append({"stage": "up", **stage, "blocks": net.blocks + 1, "skips": net.blocks + 1})
        if depth == deepest:
            plan.append({"stage": "middle", **stage, "blocks": 2, "skips": 0})
        size = -(-size // 2)
    order = {"down": 0, "middle": 1, "up": 2}
    plan.sort(key=lambda stage: (order[stage["stage"]], -stage["depth"] if stage["stage"] == "up" else stage["depth"]))
    return pd.DataFrame(plan)[["stage", "depth", "rows", "channels", "blocks", "skips", "attention"]]


def model_diagram(net: UNet1dConfig, rows: int, tasks: tuple[str, ...] = ("generation",)) -> Figure:
    """Draw the conditions and the U-Net of a study's settings.

    Args:
        net: its settings.
        rows: rows of the matrix.
        tasks: `generation`, `modification` or both; for modification the structure to start from is shown, dashed.
    """
    plan = trunk_plan(net, rows)
    depths = len(net.multipliers)
    figure, axes = new_figure(1, 2, size=(10, 2.9 + 1.15 * depths), width_ratios=(1.1, 1.15))
    _draw_conditions(axes[0, 0], net, rows, tasks)
    _draw_trunk(axes[0, 1], plan, net, rows, tasks)
    for ax, title in zip(axes[0], ("a) conditions", "b) U-Net"), strict=True):
        ax.set_title(title, loc="left")
        ax.set_axis_off()
    return figure


def _draw_conditions(ax: Axes, net: UNet1dConfig, rows: int, tasks: tuple[str, ...]) -> None:
    width = 4 * net.channels
    energy = "\nor ".join({"generation": "energy", "modification": "difference"}[task] for task in tasks)
    columns = (
        (0, "elements,\none-hot and\n22 properties", f"1-D CNN\n{net.channels} × {rows}"),
        (1, "space group,\n192 operations\nof 4 × 4", f"2-D CNN\n{width}"),
        (2, f"{energy},\nscaled", f"{net.energy_waves} waves,\nMLP\n{width}"),
        (3, "time t,\nfrom 0 to 1", f"positional\nencoding, MLP\n{width}"),
    )
    for x, given, layer in columns:
        _box(ax, x, 4.6, 0.92, 0.95, given, _INPUT)
        _arrow(ax, (x, 4.12), (x, 3.62))
        _box(ax, x, 3.2, 0.92, 0.84, layer, _LAYER)
    _box(ax, 1, 1.8, 2.6, 0.6, f"concatenated, MLP: {width}", _LAYER)
    for x in range(3):
        _arrow(ax, (x, 2.78), (x, 2.1), "mean over\natoms" if x == 0 else "")
    _box(ax, 2, 0.65, 1.5, 0.5, f"sum: {width}", _SUM)
    _arrow(ax, (1.6, 1.5), (1.8, 0.9))
    _arrow(ax, (3, 2.78), (2.4, 0.9))
    _arrow(ax, (2, 0.4), (2, -0.1))
    ax.text(2, -0.2, "scale and shift in\nevery residual block", ha="center", va="top", fontsize=_FONT)
    ax.plot([-0.46, -0.62, -0.62], [3.2, 3.2, 0.1], color="#333333", lw=1)
    _arrow(ax, (-0.62, 0.12), (-0.62, -0.1))
    ax.text(-0.66, -0.2, "element rows,\ninto the U-Net", ha="left", va="top", fontsize=_FONT)
    ax.set(xlim=(-0.75, 3.55), ylim=(-0.7, 5.2))


def _draw_trunk(ax: Axes, plan: pd.DataFrame, net: UNet1dConfig, rows: int, tasks: tuple[str, ...]) -> None:
    deepest = plan["depth"].max()
    place = {"down": 0.0, "middle": 1.0, "up": 2.0}
    for stage in plan.itertuples():
        y = -1.3 * stage.depth - (1.3 if stage.stage == "middle" else 0)
        _box(ax, place[stage.stage], y, 0.86, 2 * _HALF, _stage_text(stage), _BLOCKS)
        if stage.stage == "down":
            _arrow(ax, (0.43, y), (1.57, y), f"{stage.blocks + 1} skips, concatenated")
        if stage.depth < deepest:
            lower = y - 1.3
            ends = ((0, y - _HALF), (0, lower + _HALF)) if stage.stage == "down" else ((2, lower + _HALF), (2, y - _HALF))
            _arrow(ax, *ends, "convolution,\nstride 2" if stage.stage == "down" else "nearest,\nconvolution")
    bottom = -1.3 * (deepest + 1)
    ax.plot([0, 0], [-1.3 * deepest - _HALF, bottom], color="#333333", lw=1)
    _arrow(ax, (0, bottom), (0.57, bottom))
    ax.plot([1.43, 2], [bottom, bottom], color="#333333", lw=1)
    _arrow(ax, (2, bottom), (2, -1.3 * deepest - _HALF))
    _box(ax, 0, 1.2, 0.86, 0.6, f"convolution\n{net.channels} × {rows}", _LAYER)
    _arrow(ax, (0, 0.9), (0, _HALF))
    _box(ax, 2, 1.2, 0.86, 0.6, f"norm, convolution\n3 × {rows}", _LAYER)
    _arrow(ax, (2, _HALF), (2, 0.9))
    _arrow(ax, (2, 1.5), (2, 1.85))
    ax.text(2, 1.9, "velocity, noise\nor structure", ha="center", va="bottom", fontsize=_FONT)
    coordinates = f"{rows} × 3" + (", as waves" if net.periodic else "")
    _box(ax, 0, 2.25, 0.86, 0.6, f"x at time t\n{coordinates}", _INPUT)
    _arrow(ax, (0, 1.95), (0, 1.5))
    _box(ax, 1, 1.2, 0.8, 0.6, "element rows,\nlearned positions", _INPUT)
    _arrow(ax, (0.6, 1.2), (0.43, 1.2))
    if "modification" in tasks:
        _box(ax, 1, 2.25, 0.8, 0.78, "structure to modify:\nx itself at t = 0, or\nbeside x (diffusion)", _INPUT, "--")
        _arrow(ax, (0.6, 2.25), (0.43, 2.25))
        _arrow(ax, (0.7, 1.86), (0.4, 1.5))
    ax.set(xlim=(-0.5, 2.5), ylim=(bottom - 0.55, 2.75))


def _stage_text(stage) -> str:
    attention = "with attention" if stage.attention else "no attention"
    return f"{stage.blocks} × residual block\n{attention}\n{stage.channels} × {stage.rows}"


def _box(ax: Axes, x: float, y: float, width: float, height: float, text: str, color: str, line: str = "-") -> None:
    """A box around (x, y)."""
    shape = f"round,pad=0,rounding_size={0.08 * min(width, height)}"
    corner = (x - width / 2, y - height / 2)
    ax.add_patch(FancyBboxPatch(corner, width, height, boxstyle=shape, facecolor=color, edgecolor="#333333", lw=0.9, linestyle=line))
    ax.text(x, y, text, ha="center", va="center", fontsize=_FONT, linespacing=1.15)


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float], label: str = "") -> None:
    ax.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": "#333333", "lw": 1, "shrinkA": 0, "shrinkB": 0})
    if label:
        flat = start[1] == end[1]
        x, y = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2
        ax.text(x + (0 if flat else 0.06), y + (0.06 if flat else 0), label, ha="center" if flat else "left",
                va="bottom" if flat else "center", fontsize=_FONT - 1)  # fmt: skip
