"""Strict settings: an unknown or misspelt key is an error that names it."""

from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError


class StudyError(ValueError):
    """A study file that cannot be used; the message names the file and each key at fault."""


class Strict(BaseModel):
    """Refuses unknown keys, and cannot be changed once read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Settings = TypeVar("Settings", bound=Strict)


def read_strict(kind: type[Settings], path: Path) -> Settings:
    """Read a YAML file into a strict model.

    Raises:
        StudyError: the file is no YAML, or keys are unknown, missing or of the wrong kind.
    """
    try:
        return kind.model_validate(yaml.safe_load(path.read_text()))
    except yaml.YAMLError as error:
        raise StudyError(f"{path}: not YAML ({error})") from None
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise StudyError(f"{path}: {faults}") from None
