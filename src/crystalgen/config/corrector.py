"""Settings of the networks that choose among retrieved candidates and correct them."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from crystalgen.utils.strict import Strict
from crystalgen.utils.values import Count, Dropout, File, Number, Positive, Processes, Seed


class NetworkTraining(Strict):
    """One run of `corrector.train`, so many epochs."""

    epochs: Annotated[Count, Field(le=10**5)]
    batch_size: Annotated[Count, Field(le=10**5)]  # requests with all their candidates, or pairs
    learning_rate: Annotated[Positive, Field(le=1)] = 1e-3
    weight_decay: Annotated[Number, Field(ge=0, lt=1)] = 0.05
    dropout: Dropout = 0.0
    ema: Annotated[Number, Field(ge=0, lt=1)] = 0.999
    seed: Seed = 0
    threads: Processes = 1
    precision: Literal["no", "bf16"] = "bf16"


def _check_heads(heads: int, width: int) -> None:
    """Raise ValueError unless the width divides evenly among the heads."""
    if width % heads:
        raise ValueError(f"heads {heads}: expected a divisor of width {width}")


class Denoiser(Strict):
    """A network that takes noise out of crystals (see `crystalgen.corrector.denoising`)."""

    # spread of the noise that training adds to sites, in units of (volume / sites)^(1/3), between
    least: Annotated[Positive, Field(le=1)] = 0.015
    most: Annotated[Positive, Field(le=2)] = 0.45
    width: Annotated[Count, Field(multiple_of=8, le=4096)] = 96
    blocks: Annotated[Count, Field(le=64)] = 4
    heads: Annotated[Count, Field(le=64)] = 6
    training: NetworkTraining = NetworkTraining(epochs=160, batch_size=64, learning_rate=1.5e-3, weight_decay=0.01, precision="no")

    @model_validator(mode="after")
    def _fits(self):
        _check_heads(self.heads, self.width)
        if self.least >= self.most:
            raise ValueError(f"least {self.least:g}: expected less than most {self.most:g}")
        return self


class Corrector(Strict):
    """Networks that choose among the candidates that retrieval finds, and correct them (see `crystalgen.corrector`)."""

    candidates: Annotated[Count, Field(ge=2, le=100)] = 12  # arrangements of a request that are compared
    pairs: Count = 5  # of each training crystal, the nearest of its arrangement, that correcting is learnt from
    width: Annotated[Count, Field(multiple_of=8, le=4096)] = 96
    blocks: Annotated[Count, Field(le=64)] = 3
    heads: Annotated[Count, Field(le=64)] = 6
    scorers: Annotated[Count, Field(le=100)] = 3  # of different seeds, whose chances are averaged
    scoring: NetworkTraining = NetworkTraining(epochs=2, batch_size=16, dropout=0.1)
    correcting: NetworkTraining = NetworkTraining(epochs=8, batch_size=64, learning_rate=1.5e-3)
    generator: File | None = None  # folder of a trained model that is told no template; its crystal comes after the candidates
    workers: Processes = 2

    @model_validator(mode="after")
    def _heads_divide(self):
        _check_heads(self.heads, self.width)
        return self
