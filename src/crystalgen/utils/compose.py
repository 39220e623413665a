"""Settings put together: a study's file, the presets that it names, and the study that it builds on."""

from pathlib import Path

from crystalgen.utils import paths
from crystalgen.utils.strict import StudyError, read_yaml
from crystalgen.utils.values import is_name, shown

PRESETS = "presets.yaml"  # beside the studies' folders
PRESET_KEYS = ("objective", "net", "training")  # of a model
_WHOLE = ("name", "preset")  # a mapping with another one of these is another thing


def compose(path: Path):
    """Read a study's or the ablations' file and fill in what it names; what is not a mapping is returned as it is.

    - `base: NAME` takes over another study, changed by what stands here (see `patched`).
    - A model's objective, net or training may be a preset's name, or a mapping with `preset: NAME` and what differs from it. Presets are
      those of `studies/presets.yaml`, and of the file's own section `presets`.
    - `sampling` of a model that is sampled in one way may be that way itself; it is then named as the model is.

    Raises:
        StudyError: a file is not there or no YAML, a preset is not known, or a study builds on itself.
    """
    return fill_presets(_composed(path, ()), path)


def _composed(path: Path, above: tuple[Path, ...]):
    content = read_yaml(path)
    if isinstance(content, dict) and "base" in content:
        base = _base_of(path, content, above)
        below = fill_presets(_composed(base, (*above, path)), base)
        content = patched(below, {key: value for key, value in content.items() if key != "base"})
    return content


def fill_presets(content, path: Path):
    """Fill in the presets that settings name (see `compose`), as those of the file `path`."""
    if not isinstance(content, dict):
        return content
    content = dict(content)
    presets = {key: {} for key in PRESET_KEYS}
    for source, own in ((_presets_file(path), _shared_presets(path)), (path, content.pop("presets", None))):
        for key, named in checked_presets(own, source).items():
            presets[key] = presets[key] | named
    for group in (content, *_mappings(content.get("ablations"))):
        for name, model in (group.get("models") if isinstance(group.get("models"), dict) else {}).items():
            if isinstance(model, dict):
                group["models"][name] = _filled(name, model, presets, path)
    return content


def checked_presets(presets, source: Path) -> dict[str, dict[str, dict]]:
    """Return presets by kind and name, none for null.

    Raises:
        StudyError: they are of an unknown kind, or one is no mapping; naming the source.
    """
    where = f"{source}: presets" if source.name != PRESETS else f"{source}"
    if not isinstance(presets or {}, dict):
        raise StudyError(f"{where}: {shown(presets)}; expected a mapping of {', '.join(PRESET_KEYS)}")
    for key, named in (presets or {}).items():
        if key not in PRESET_KEYS:
            raise StudyError(f"{where}: unknown key {shown(key)}; expected some of {', '.join(PRESET_KEYS)}")
        if not isinstance(named or {}, dict):
            raise StudyError(f"{where}.{key}: {shown(named)}; expected a mapping of names to settings")
        for name, preset in (named or {}).items():
            if not is_name(name) or not isinstance(preset, dict):
                raise StudyError(f"{where}.{key}: {shown(name)}: {shown(preset)}; expected a name, and settings as a mapping")
    return {key: named or {} for key, named in (presets or {}).items()}


def presets_of(path: Path) -> list[tuple[Path, dict[str, dict[str, dict]], dict[str, dict[str, dict]]]]:
    """Return the files that hold presets of a study, with those of each, and with all that they may build on."""
    shared = checked_presets(_shared_presets(path), _presets_file(path))
    found = [(_presets_file(path), shared, shared)]
    for file in files_of(path):
        content = read_yaml(file)
        if file.name != PRESETS and isinstance(content, dict):
            own = checked_presets(content.get("presets"), file)
            found.append((file, own, {key: shared.get(key, {}) | own.get(key, {}) for key in PRESET_KEYS}))
    return found


def patched(content, patch):
    """Return settings changed by a patch: mappings are merged, null removes a key so that its default holds, all else replaces.

    A mapping of another `name` or `preset` replaces too, since its other keys are not those of the one before.
    """
    if not (isinstance(patch, dict) and isinstance(content, dict)) or any(k in patch and patch[k] != content.get(k) for k in _WHOLE):
        return patch
    merged = dict(content)
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = patched(merged.get(key), value)
    return merged


def files_of(path: Path) -> list[Path]:
    """Return the files that decide a study: its own, that of its base and so on, and the presets."""
    files, content = [path], read_yaml(path)
    while isinstance(content, dict) and "base" in content:
        files.append(_base_of(files[-1], content, tuple(files[:-1])))
        content = read_yaml(files[-1])
    return [*files, *filter(Path.is_file, [_presets_file(path)])]


def _base_of(path: Path, content: dict, above: tuple[Path, ...]) -> Path:
    """Return the file of the study that one builds on; above: the files of those that build on it."""
    name = content["base"]
    base = path.parents[1] / str(name) / path.name
    if not is_name(name) or not base.is_file():
        raise StudyError(f"{path}: base: no study {shown(name)}; expected the name of another one beside it")
    if base in (path, *above):
        raise StudyError(f"{path}: base: '{name}' builds on this study itself; expected another one")
    return base


def _presets_file(path: Path) -> Path:
    beside = path.resolve().parent.parent / PRESETS
    return beside if beside.is_file() else paths.ROOT / "studies" / PRESETS


def _shared_presets(path: Path):
    file = _presets_file(path)
    return read_yaml(file) if file.is_file() else {}


def _mappings(content) -> list[dict]:
    return [value for value in content.values() if isinstance(value, dict)] if isinstance(content, dict) else []


def _filled(name: str, model: dict, presets: dict, path: Path) -> dict:
    model = dict(model)
    for key in PRESET_KEYS:
        if key in model:
            model[key] = spelt_out(model[key], presets[key], f"{path}: models.{name}.{key}", strict=key != "net")
    if isinstance(model.get("sampling"), dict) and isinstance(model["sampling"].get("sampler"), str):
        model["sampling"] = {name: model["sampling"]}
    return model


def spelt_out(value, presets: dict, where: str, strict: bool, above: tuple[str, ...] = ()):
    """Return a value with the preset that it names, which may build on another; networks have presets of their own, in code."""
    chosen = value.get("preset") if isinstance(value, dict) else value
    if not isinstance(chosen, str) or (chosen not in presets and not strict and isinstance(value, str)):
        return value
    if chosen not in presets or chosen in above:
        raise StudyError(f"{where}: no preset {shown(chosen)}; expected one of {sorted(set(presets) - set(above))}")
    rest = {key: part for key, part in value.items() if key != "preset"} if isinstance(value, dict) else {}
    return patched(spelt_out(presets[chosen], presets, where, strict, (*above, chosen)), rest)
