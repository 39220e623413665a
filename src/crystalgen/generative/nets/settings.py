"""Declare what the settings of every network have; no torch here, so that settings are read at once."""

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from crystalgen.utils.strict import Strict
from crystalgen.utils.values import Whole

if TYPE_CHECKING:
    from torch import nn


Width = Annotated[Whole, Field(ge=8, le=4096, multiple_of=8)]  # channels; they are normalised in eight groups
Small = Annotated[Whole, Field(ge=1, le=64)]
Levels = Annotated[tuple[Small, ...], Field(min_length=1, max_length=8)]  # multiples of the channels, from the top down


class NetSettings(Strict):
    """Settings of one network.

    representation: what it works on, `matrix` or `unimat`.
    presets: settings by name, each those that differ from the defaults.
    """

    representation: ClassVar[str]
    presets: ClassVar[dict[str, dict]] = {}
    name: str

    @classmethod
    def preset(cls, name: str) -> "NetSettings":
        """Return the settings of a preset."""
        return cls(**cls.presets[name])

    def build(self, codec) -> "nn.Module":
        """Build the network for the shapes and tables of a codec, weights drawn from torch's global generator."""
        raise NotImplementedError


def check_heads(heads: int, widths: list[int]) -> None:
    """Raise ValueError unless the channels of every attention divide evenly among its heads."""
    if odd := [width for width in widths if width % heads]:
        raise ValueError(f"heads {heads}: {odd[0]} channels do not divide among so many; expected a divisor of {sorted(set(widths))}")
