"""Where calculations lie in a tree: by their files' names and by what these begin and end with; nothing but regular files is opened."""

import os
import re
from pathlib import Path

from crystalgen.dft.ase_read import is_output
from crystalgen.dft.text import Unreadable, ends_of, irregular

REFUSED = "refused"  # the kind of a path that is no calculation that can be read: a folder that is closed, a pipe, a link to nothing
_PACKED = r"(?P<packed>\.(?:gz|bz2|xz|lzma|zst|Z|zip|7z|lz4))?"
_VASPRUN = re.compile(rf"(?P<before>.*?)vasprun(?P<middle>.*?)\.xml(?P<after>.*?){_PACKED}", re.IGNORECASE)
_OUTCAR = re.compile(rf"(?P<before>.*?)OUTCAR(?P<middle>)(?P<after>.*?){_PACKED}", re.IGNORECASE)
_TEXT = re.compile(rf"(?P<step>.+)\.(?:txt|out|pwo|log){_PACKED}")  # as most call a code's output
_OWN = re.compile(r"(static|relax-\d+)\.txt(\.gz)?")  # of `ase_run`, whatever it begins with
_BESIDE = ("input.json", "record.json")  # what else a row of ase_run depends on
_HEAD, _TAIL = 1 << 20, 1 << 16  # bytes of a file by which it is recognised
# What is no output of a code, however long: files that VASP writes and reads beside, data, programs, pictures, texts for people.
_BESIDE_VASP = re.compile(r"(INCAR|KPOINTS|POSCAR|CONTCAR|POTCAR|CHGCAR|CHG|AECCAR\d|WAVECAR|DOSCAR|EIGENVAL|PROCAR|XDATCAR|OSZICAR|LOCPOT|"
                          r"ELFCAR|IBZKPT|PCDAT|REPORT|WAVEDER|TMPCAR|PARCHG|STOPCAR|ML_\w+)\b.*")  # fmt: skip
_FOREIGN = re.compile(r".*\.(py|pyc|ipynb|md|rst|html?|tex|bib|json|ya?ml|toml|cif|mcif|csv|tsv|parquet|npy|npz|pkl|pt|h5|hdf5|png|jpe?g|"
                      r"gif|svg|pdf|docx?|xlsx?|zip|tar|tgz|7z|rar|upf|wfc\d*|save|so|o|a|exe|db|sqlite|lock|cube|xsf)(\.(gz|bz2|xz))?",
                      re.IGNORECASE)  # fmt: skip
_SKIPPED_FOLDERS = {"__MACOSX", ".ipynb_checkpoints", ".git"}


def find_calculations(root: Path) -> dict[tuple[str, str], dict[str, Path]]:
    """Return files by kind of each calculation, by the folder's path and the step, in order.

    Links to folders are followed once each, after the folders themselves. What cannot be read has the kind `REFUSED`.
    """
    found: dict[tuple[str, str], dict[str, Path]] = {}
    for folder, files in _walk(Path(root)):
        name = str(folder.relative_to(root))
        if files is None:
            found[name, ""] = {REFUSED: folder}
            continue
        _add_vasp(found, name, files)
        for path in files:
            if not _of_vasp(path.name):
                _add_text(found, name, path)
    return dict(sorted(found.items()))


def _walk(root: Path):
    """Yield each folder with its files in order, None for those of a closed one; each real folder once."""
    seen, waiting, links = set(), [root], []
    while waiting or links:
        folder = waiting.pop() if waiting else links.pop(0)
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as entries:
                entries = sorted(entries, key=lambda entry: entry.name)
            files = []
            for entry in entries:
                path = folder / entry.name
                if entry.is_dir(follow_symlinks=False):
                    if entry.name not in _SKIPPED_FOLDERS:
                        waiting.append(path)
                elif entry.is_symlink() and _leads_to_folder(path):
                    links.append(path)
                elif not entry.name.startswith("."):
                    files.append(path)
        except OSError:
            yield folder, None
            continue
        yield folder, files


def _leads_to_folder(link: Path) -> bool:
    try:
        return link.is_dir()
    except OSError:  # into a closed folder
        return False


def _add_vasp(found: dict, folder: str, files: list[Path]) -> None:
    """Pair each vasprun.xml with the OUTCAR of its step; of several of one step each with that packed alike, the later by their names."""
    runs, outcars = {}, {}
    for pattern, kind in ((_VASPRUN, runs), (_OUTCAR, outcars)):
        for path in files:
            if (matched := pattern.fullmatch(path.name)) and _of_vasp(path.name) is pattern:
                kind.setdefault(_step(matched), {})[matched["packed"] or ""] = path
    for step in sorted(runs.keys() | outcars.keys()):
        own, others = dict(runs.get(step, {})), dict(outcars.get(step, {}))
        for packing, path in own.items():
            outcar = others.get(packing) or (next(iter(others.values()), None) if len(own) == 1 else others.get(""))
            key = (folder, step) if (folder, step) not in found else (folder, path.name)
            found[key] = {"vasprun.xml": path} | ({"OUTCAR": outcar} if outcar else {})
        paired = {calculation.get("OUTCAR") for calculation in found.values()}
        for path in others.values():
            if path not in paired:
                found[(folder, step) if (folder, step) not in found else (folder, path.name)] = {"OUTCAR": path}


def _of_vasp(name: str) -> re.Pattern | None:
    """Return which pattern of VASP's names a name has, unless it is that of a program or a picture about such a file."""
    found = next(((pattern, matched) for pattern in (_VASPRUN, _OUTCAR) if (matched := pattern.fullmatch(name))), None)
    return None if found is None or (_FOREIGN.fullmatch(name) and not found[1]["packed"]) else found[0]


def _step(matched: re.Match) -> str:
    parts = (matched[part].strip("._-+ ") for part in ("before", "middle", "after"))
    return "_".join(filter(None, parts))


def _add_text(found: dict, folder: str, path: Path) -> None:
    matched = _TEXT.fullmatch(path.name)
    if _BESIDE_VASP.match(path.name) or (not matched and _FOREIGN.fullmatch(path.name)):
        return
    if (kind := _kind(path, matched is not None)) is None:
        return
    if kind == "output":
        step = matched["step"] if matched else re.sub(rf"{_PACKED}$", "", path.name)
        beside = {name: path.with_name(name) for name in _BESIDE if path.with_name(name).exists()}
        key = (folder, step) if (folder, step) not in found else (folder, path.name)
        found[key] = {"output": path, **beside}
    else:
        found[folder, path.name] = {kind: path}


def _kind(path: Path, named: bool) -> str | None:
    """Return "output", another kind of VASP's files by what they begin with, `REFUSED`, or None of a file that is none of them."""
    try:
        own = _OWN.fullmatch(path.name) and path.with_name("input.json").exists()
        if irregular(path) is not None:
            return REFUSED if named or own else None
        text, broken = ends_of(path, _HEAD, _TAIL)
    except (Unreadable, OSError):
        return REFUSED
    if own or is_output(text):
        return "output"
    if "<modeling>" in text[:2000] and 'name="program" type="string">vasp' in text[:2000]:
        return "vasprun.xml"
    if re.match(r"\s*vasp\.\d+\.\d+[^\n]*\n\s*\n? *executed on", text):
        return "OUTCAR"
    return REFUSED if broken and named else None
