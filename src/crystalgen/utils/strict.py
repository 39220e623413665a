"""Strict settings: an unknown or misspelt key is an error that names it, and so is a value that cannot be."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from crystalgen.utils.values import shown
from crystalgen.utils.yaml_files import YamlError, parse_yaml, read_yaml_text

_NAMED = 8  # faults of one file
_WORDS = {"Value error, ": "", "Input should be": "expected", "Field required": "missing; expected a value"}  # pydantic's, and the house's


class StudyError(ValueError):
    """A study file that cannot be used; the message names the file and each key at fault."""


class Strict(BaseModel):
    """Refuses unknown keys, NaN and infinite numbers, and cannot be changed once read."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _keys_are_known(cls, content):
        if isinstance(content, dict) and (unknown := [key for key in content if key not in cls.model_fields]):
            known = {"unknown": ", ".join(shown(key) for key in unknown[:_NAMED]), "known": ", ".join(cls.model_fields)}
            raise PydanticCustomError("unknown_key", "unknown key {unknown}; expected some of {known}", known)
        return content


def read_strict(kind: Any, path: Path) -> Any:
    """Read a YAML or JSON file into a strict model, or into one of a union.

    Raises:
        StudyError: the file is no YAML, or keys are unknown, missing or of the wrong kind.
    """
    return check_strict(kind, read_yaml(path), path)


def read_yaml(path: Path):
    """Read a YAML or JSON file.

    Raises:
        StudyError: it is not there, or no YAML (see `yaml_files.parse_yaml`).
    """
    try:
        return parse_yaml(read_yaml_text(path))
    except YamlError as error:
        raise StudyError(f"{path}: {error}") from None


def check_strict(kind: Any, content, source: Path | str, partial: bool = False) -> Any:
    """Check settings, as a YAML file gives them, against a strict model, or a union of some.

    partial: keys may be missing, such as a preset's; then nothing is returned.

    Raises:
        StudyError: keys are unknown, missing or of the wrong kind; naming the source, them, what stands there and what was expected.
    """
    try:
        return TypeAdapter(kind).validate_python(content)
    except ValidationError as error:
        faults = [fault for fault in error.errors(include_url=False) if not (partial and fault["type"] == "missing")]
        if not faults:
            return None
        more = f"; and {len(faults) - _NAMED} more" if len(faults) > _NAMED else ""
        raise StudyError(f"{source}: {'; '.join(_fault(content, fault) for fault in faults[:_NAMED])}{more}") from None


def _fault(content, fault: dict) -> str:
    """Say in a few words what is wrong where."""
    text = " ".join(fault["msg"].split())
    for theirs, ours in _WORDS.items():
        text = text.replace(theirs, ours)
    value = fault["input"]
    tells = isinstance(value, dict | BaseModel) or fault["type"] == "missing"  # the text alone does
    return ": ".join(filter(None, [_key_path(content, fault["loc"], fault["type"] == "missing"), "" if tells else shown(value), text]))


def _key_path(content, location: tuple, missing: bool) -> str:
    """Return the keys of the file that lead to a fault, `models.one.training.steps`: pydantic's own name of a union's member is none."""
    keys = []
    for number, key in enumerate(location):
        if isinstance(content, dict) and key not in content and not (missing and number == len(location) - 1):
            continue
        keys.append(key if isinstance(key, str) and key.isprintable() and len(key) <= 60 else shown(key))
        if isinstance(content, dict):
            content = content.get(key)
        elif isinstance(content, list) and isinstance(key, int) and key < len(content):
            content = content[key]
    return ".".join(keys)
