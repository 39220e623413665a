"""Read crystals from a file's content, whichever its format; what is none has a reason."""

import codecs
import re
import warnings
from collections.abc import Callable
from pathlib import Path, PurePath

from pymatgen.core import DummySpecies, Structure

from crystalgen.crystals.cif import read_cif
from crystalgen.crystals.extxyz import read_extxyz
from crystalgen.crystals.parsed import Parsed
from crystalgen.crystals.poscar import read_poscar
from crystalgen.crystals.res_cssr import read_cssr, read_res
from crystalgen.crystals.schema import CrystalTableError
from crystalgen.crystals.tokens import HEAVY_HYDROGEN

READERS: dict[str, Callable[[str], list[Parsed]]] = {
    "cif": read_cif,
    "poscar": read_poscar,
    "extxyz": read_extxyz,
    "res": read_res,
    "cssr": read_cssr,
}
STRUCTURE_SUFFIXES = {
    ".cif": "cif",
    ".mcif": "cif",
    ".vasp": "poscar",
    ".poscar": "poscar",
    ".contcar": "poscar",
    ".extxyz": "extxyz",
    ".xyz": "extxyz",
    ".res": "res",
    ".cssr": "cssr",
}
COMPRESSED = (".gz", ".bz2", ".xz")
_POSCAR = re.compile(r"^(POSCAR|CONTCAR)|(?<![A-Z])(POSCAR|CONTCAR)(?![A-Z])", re.I)
_OF_OTHERS = set(
    ".py .pyc .c .cpp .f90 "
    ".ipynb .json .yaml .yml .toml .md .rst .txt .csv .tsv .png .jpg .svg .pdf .html .xml .sh .log .out .err .zip .tar .tgz .h5 .pt "
    ".npy .npz .pkl .parquet .xlsx .doc .docx .tex .dat .db".split()
)
_MARKS = (  # the longer ones first, since they begin as shorter ones do
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def read_text(content: str | bytes, format: str) -> list[Parsed]:
    """Return each crystal of a file's content (a CIF's blocks, an extxyz' frames), or why it is none; never an empty list.

    Args:
        content: text, or bytes in UTF-8, UTF-16 or UTF-32, with or without a byte-order mark, or in Latin-1.
        format: of `READERS`.
    """
    text = decoded(content)
    if "\0" in text[:10_000] or not text.strip():
        return [Parsed("", None, "an empty file" if not text.strip() else "no text: it holds NUL bytes")]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what matters of a parser's doubts is a reason or a note
            found = [_checked(parsed) for parsed in READERS[format](text)]
    except Exception as error:  # of whatever type: one file's fault is never the end of a run
        return [Parsed("", None, " ".join(str(error).split()) or type(error).__name__)]
    return found or [Parsed("", None, f"a {format} without a crystal")]


def decoded(content: str | bytes) -> str:
    """Return text with line ends as Python has them, of text or of bytes in any of the encodings of `read_text`."""
    if isinstance(content, bytes):
        content = _text(content)
    return content.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def structure_from_text(text: str | bytes, format: str, where: str) -> Structure:
    """Return the one crystal of a text.

    Args:
        text: the file's content.
        format: of `READERS`.
        where: named in the error (a file, or a file and row).

    Raises:
        CrystalTableError: there is none, or more than one; naming `where` and the reason.
    """
    found = read_text(text, format)
    if len(found) > 1:
        raise CrystalTableError(f"{where}: holds {len(found)} crystals, expected one")
    if found[0].structure is None:
        raise CrystalTableError(f"{where}: not a readable {format} crystal ({found[0].reason})")
    return found[0].structure


def structure_from_file(path: str | Path) -> Structure:
    """Read the one crystal of a structure file that is not compressed."""
    path = Path(path)
    return structure_from_text(path.read_bytes(), format_of(path), str(path))


def is_structure_file(path: PurePath) -> bool:
    """Return whether a name is one of a structure file, compressed or not: by its suffix, or with POSCAR or CONTCAR as a word in it."""
    path = uncompressed(path)
    suffix = path.suffix.lower()
    return suffix in STRUCTURE_SUFFIXES or (suffix not in _OF_OTHERS and bool(_POSCAR.search(path.name)))


def format_of(path: PurePath) -> str:
    """Return the format, of `READERS`, that a structure file's name says."""
    return STRUCTURE_SUFFIXES.get(uncompressed(path).suffix.lower(), "poscar")


def uncompressed(path: PurePath) -> PurePath:
    """Return a name without the suffix of a compression."""
    return path.with_suffix("") if path.suffix.lower() in COMPRESSED and path.stem else path


def without_suffix(name: str) -> str:
    """Return the name of a structure file without what says its format."""
    path = uncompressed(PurePath(name))
    return str(path.with_suffix("") if path.suffix.lower() in STRUCTURE_SUFFIXES else path)


def _checked(parsed: Parsed) -> Parsed:
    if parsed.structure is None:
        return parsed
    symbols = [getattr(species, "symbol", str(species)) for species in parsed.structure.composition]
    unknown = [str(species) for species in parsed.structure.composition if isinstance(species, DummySpecies)]
    if unknown:
        return Parsed(parsed.name, None, f"unknown element {', '.join(unknown)}")
    if {"D", "T"} & set(symbols) and HEAVY_HYDROGEN not in parsed.notes:
        return Parsed(parsed.name, parsed.structure, None, (*parsed.notes, HEAVY_HYDROGEN))
    return parsed


def _text(content: bytes) -> str:
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return content[len(mark) :].decode(encoding, errors="replace")
    if b"\0" in content[:4]:  # text begins with ASCII, of which UTF-16 makes every second byte a NUL
        return content.decode("utf-16-be" if content[:1] == b"\0" else "utf-16-le", errors="replace")
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content.decode("latin-1")
