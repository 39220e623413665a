"""Settings of the transformer over the rows of the matrix; the defaults are the preset `rows_cpu`."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from crystalgen.generative.nets.settings import NetSettings, Small, Width, check_heads
from crystalgen.utils.values import Dropout, Whole


class RowsConfig(NetSettings):
    """Width, depth, and what a token is told."""

    representation: ClassVar[str] = "matrix"
    presets: ClassVar[dict[str, dict]] = {
        "rows_cpu": {},  # 3.8 M parameters
        "rows_small": {"channels": 128, "blocks": 6, "heads": 4},  # 1.3 M
        "rows_gpu": {"channels": 512, "blocks": 16, "heads": 8},  # 53 M
    }

    name: Literal["rows"] = "rows"
    channels: Width = 192
    blocks: Small = 8
    heads: Small = 6
    dropout: Dropout = 0.0
    waves: Annotated[Whole, Field(ge=1, le=8)] = 3  # sines and cosines of each coordinate, of 1, 2, 4, ... periods in the cell
    rank: bool = True  # atoms of an element are told apart by their order
    start: bool = False  # the structure to modify, or for generation a template, is an input beside x

    @model_validator(mode="after")
    def _heads_divide(self):
        check_heads(self.heads, [self.channels])
        return self

    def build(self, codec, outputs: int = 1):
        """See `NetSettings`; codec: a `MatrixCodec`; outputs: numbers that the network gives for each value of a row."""
        from crystalgen.generative.nets.rows.model import RowTransformer

        return RowTransformer(codec.shape[0], self, codec.energy, outputs)
