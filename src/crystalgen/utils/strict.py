"""Strict settings: an unknown or misspelt key is an error that names it."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError


class StudyError(ValueError):
    """A study file that cannot be used; the message names the file and each key at fault."""


class Strict(BaseModel):
    """Refuses unknown keys, and cannot be changed once read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def read_strict(kind: Any, path: Path) -> Any:
    """Read a YAML or JSON file into a strict model, or into one of a union.

    Raises:
        StudyError: the file is no YAML, or keys are unknown, missing or of the wrong kind.
    """
    return check_strict(kind, read_yaml(path), path)


def read_yaml(path: Path):
    """Read a YAML or JSON file.

    Raises:
        StudyError: it is not there, or no YAML.
    """
    try:
        return yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise StudyError(f"{path}: no such file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise StudyError(f"{path}: not YAML ({error})") from None


def check_strict(kind: Any, content, source: Path | str) -> Any:
    """Check settings, as a YAML file gives them, against a strict model, or a union of some.

    Raises:
        StudyError: keys are unknown, missing or of the wrong kind; naming them and the source.
    """
    try:
        return TypeAdapter(kind).validate_python(content)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise StudyError(f"{source}: {faults}") from None
