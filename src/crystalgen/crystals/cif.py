"""Crystals of a CIF, every data block of it."""

import io
import warnings

from pymatgen.io.cif import CifParser

from crystalgen.crystals.parsed import Parsed


def read_cif(text: str) -> list[Parsed]:
    """Return what each data block holds; blocks without atom sites are left out unless there is no other."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            structures = CifParser(io.StringIO(text)).parse_structures(primitive=False)
    except Exception as error:  # the parser raises types of its own
        return [Parsed("", None, " ".join(str(error).split()) or type(error).__name__)]
    return [Parsed("", structure) for structure in structures]
