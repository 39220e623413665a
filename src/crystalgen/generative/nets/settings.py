"""Declare what the settings of every network have; no torch here, so that settings are read at once."""

from typing import TYPE_CHECKING, ClassVar

from crystalgen.utils.strict import Strict

if TYPE_CHECKING:
    from torch import nn


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
