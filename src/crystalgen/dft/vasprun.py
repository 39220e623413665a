"""A vasprun.xml, of any size and packing, by pymatgen's parser: without what fills it, and of all ionic steps the last two."""

import re
import warnings
from pathlib import Path
from typing import BinaryIO

from pymatgen.io.vasp import Vasprun

from crystalgen.dft.rows import FailedRun
from crystalgen.dft.text import Unreadable, opened

_BULK = re.compile(rb"<(eigenvalues|eigenvalues_kpoints_opt|projected|projected_kpoints_opt|dos|dynmat|dielectricfunction)\b[^>]*>")
_BEGIN, _END = b"<calculation>", b"</calculation>"
_BLOCK = 1 << 20
_LIMIT = 256 << 20  # bytes of one ionic step, or of what stands outside of them, without bulk
_KEPT = 2  # ionic steps: the last, and the one before that its energy is compared with


class Run(Vasprun):
    """pymatgen's, with `steps`, how many ionic steps there are, of which `ionic_steps` holds the last two, and `electrons`."""

    electrons: float | None = None  # of the neutral cell
    steps: int = 0

    def __init__(self, path: Path):
        with opened(path) as stream:
            self._lean = _Lean(stream)
            # the parser opens the path too, by its name; it reads of the stream given here alone
            self.filename, self.exception_on_bad_xml = path, True
            self.ionic_step_skip, self.ionic_step_offset, self.occu_tol, self.separate_spins = None, 0, 1e-8, False
            self._parse(self._lean, parse_dos=False, parse_eigen=False, parse_projected_eigen=False)
        self.steps = self._lean.steps
        self.nionic_steps = len(self.md_data) or self.steps

    def _parse_atominfo(self, elem):
        for array in elem.findall("array"):
            if array.attrib["name"] == "atomtypes":
                rows = [[cell.text for cell in row.findall("c")] for row in array.find("set")]
                self.electrons = sum(int(row[0]) * float(row[3]) for row in rows)
        return super()._parse_atominfo(elem)


def read_vasprun(path: Path) -> Run:
    """Parse a file.

    Raises:
        FailedRun: it is broken or not readable.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Run(path)
    except Unreadable:
        raise
    except FailedRun as error:
        raise FailedRun(str(error) if str(error).startswith(path.name) else f"{path.name}: {error}") from None
    except (AttributeError, KeyError) as error:
        raise FailedRun(f"{path.name}: a part that VASP writes is not there ({str(error)[:100]})") from None
    except PermissionError:
        raise Unreadable(f"{path.name}: not readable (permission denied)") from None
    except MemoryError:
        raise
    except Exception as error:  # the parser raises types of its own for broken files
        raise FailedRun(f"{path.name}: {type(error).__name__}: {' '.join(str(error).split())[:120] or 'broken'}") from None


class _Lean:
    """A stream that leaves out bulk and, of ionic steps, all but the last two; its parser sees well-formed XML if the file is."""

    def __init__(self, stream: BinaryIO):
        self.steps = 0
        self._parts = self._without_steps(self._without_bulk(stream))
        self._ready = b""

    def read(self, size: int = -1) -> bytes:
        while len(self._ready) < size or size < 0:
            part = next(self._parts, None)
            if part is None:
                break
            self._ready += part
        size = len(self._ready) if size < 0 else size
        given, self._ready = self._ready[:size], self._ready[size:]
        return given

    def _without_bulk(self, stream: BinaryIO):
        rest, closing = b"", None
        while block := stream.read(_BLOCK):
            if b"\0" in block:
                raise FailedRun("damaged, zero bytes in it")
            rest += block
            while True:
                if closing is not None:
                    place = rest.find(closing)
                    if place < 0:
                        rest = rest[-len(closing) :]
                        break
                    rest, closing = rest[place + len(closing) :], None
                if (found := _BULK.search(rest)) is None:
                    cut = rest.rfind(b"<")  # a tag may go on in the next block
                    cut = len(rest) if cut < 0 or b">" in rest[cut:] else cut
                    yield rest[:cut]
                    rest = rest[cut:]
                    break
                yield rest[: found.start()]
                closing = None if found[0].endswith(b"/>") else b"</" + found[1] + b">"
                rest = rest[found.end() :]
        yield rest if closing is None else b"<cut>"  # the end is missing: no XML

    def _without_steps(self, parts):
        """Hold back finished ionic steps until two further ones are there."""
        held, rest, inside = [], b"", False
        for part in parts:
            rest += part
            while True:
                place = rest.find(_END if inside else _BEGIN)
                if place < 0:
                    break
                if inside:
                    held.append(rest[: place + len(_END)])
                    held = held[-_KEPT:]
                    self.steps += 1
                    rest, inside = rest[place + len(_END) :], False
                else:
                    if not held:
                        yield rest[:place]
                    elif b"</modeling>" in rest[:place]:
                        raise FailedRun("several documents in one file")
                    elif rest[:place].strip():
                        held[-1] += rest[:place]
                    rest, inside = rest[place:], True
            if not inside and not held and len(rest) > len(_BEGIN):  # far from the steps: nothing to hold back
                yield rest[: -len(_BEGIN)]
                rest = rest[-len(_BEGIN) :]
            if len(rest) > _LIMIT:
                raise FailedRun(f"one ionic step is larger than {_LIMIT >> 20} MB without its eigenvalues: not read")
        yield from held
        yield rest
