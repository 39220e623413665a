"""Presets checked where they stand, be they used or not: a misspelt key of one is no default."""

from functools import reduce
from operator import or_
from pathlib import Path

from crystalgen.generative.nets.settings import NetSettings
from crystalgen.generative.objectives.settings import BinsFlow, Diffusion, Endpoint, Flow, Masked, Regression
from crystalgen.generative.settings import Training
from crystalgen.utils.compose import PRESET_KEYS, PRESETS, presets_of, spelt_out
from crystalgen.utils.strict import Strict, StudyError, check_strict

_KINDS = {"objective": (Regression, Flow, Diffusion, Endpoint, BinsFlow, Masked), "training": (Training,)}


def check_presets(path: Path) -> None:
    """Check the presets of a study's file, of those that it builds on, and of `studies/presets.yaml`.

    Raises:
        StudyError: naming the file, the preset and what is wrong with it.
    """
    for file, own, known in presets_of(path):
        start = f"{file}: " if file.name == PRESETS else f"{file}: presets."
        for key in PRESET_KEYS:
            for name in own.get(key, {}):
                where = f"{start}{key}.{name}"
                _check(key, spelt_out({"preset": name}, known.get(key, {}), where, strict=True), where)


def _check(key: str, settings: dict, where: str) -> None:
    kinds: tuple[type[Strict], ...] = _KINDS.get(key) or tuple(NetSettings.__subclasses__())
    if "name" in settings or len(kinds) == 1:
        named = [kind for kind in kinds if len(kinds) == 1 or kind.model_fields["name"].default == settings["name"]]
        if not named:
            names = [kind.model_fields["name"].default for kind in kinds]
            raise StudyError(f"{where}.name: '{settings['name']}'; expected one of {names}")
        check_strict(named[0], settings, where, partial=True)
    else:
        check_strict(reduce(or_, kinds), settings, where, partial=True)  # of whichever kind the model's default is
