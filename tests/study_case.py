"""A small study to change one thing of."""

from pathlib import Path

import yaml
from conftest import ROOT


def minimal() -> dict:
    return {
        "title": "t",
        "description": "d",
        "data": {"path": "p"},
        "models": {
            "one": {"representation": "matrix", "training": {"steps": 5}, "sampling": {"one": {"sampler": "euler", "steps": 5}}},
            "two": {"representation": "unimat", "training": {"steps": 5}, "sampling": {"two": {"sampler": "ddim", "steps": 5}}},
        },
    }


def changed(where: str, **values) -> dict:
    """The minimal study with values of the settings at `where`, written as models.one.net, replaced."""
    content = minimal()
    inner = content
    for key in filter(None, where.split(".")):
        inner = inner.setdefault(key, {})
    inner.update(values)
    return content


def write(tmp_path, content) -> object:
    path = tmp_path / "study.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


def right() -> dict:
    """The smoke study, which says something of everything but guidance."""
    content = yaml.safe_load((ROOT / "studies/smoke/study.yaml").read_text())
    content["representations"]["matrix_rows"] = 12
    return content


def written(folder: Path, content: dict | str | bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str | bytes) else yaml.safe_dump(content, sort_keys=False)
    (folder / "study.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder / "study.yaml"
