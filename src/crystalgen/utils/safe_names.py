"""Names of files from ids that anyone may have written: a name is one part of a path, and never leads out of its folder."""

import hashlib
import re
import unicodedata
from collections.abc import Iterable

_LONGEST = 120  # bytes, so that a suffix and a sibling's `.part` still fit into the 255 that file systems allow
_UNSAFE = re.compile(r"[^\w.+\-=,@()\[\] ]")  # letters and digits of any alphabet are kept; separators, controls and quotes are not
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.I)  # devices of Windows


def safe_name(name: str) -> str:
    """Return a name that can be that of a file or folder on any system, and is in no case a path.

    What could separate folders, name a drive or a device, hide a file, look like an option or end in a way that Windows drops becomes
    or is led by `_`; too long a name is cut and gets a digest of the whole. A harmless name stays as it is.
    """
    given = str(name)
    safe = _UNSAFE.sub("_", unicodedata.normalize("NFC", given))
    safe = re.sub(r"^[.\s-]+|[.\s]+$", lambda found: "_" * min(len(found[0]), 2), safe) or "_"
    if _RESERVED.fullmatch(safe):
        safe = f"_{safe}"
    if len(safe.encode()) > _LONGEST:
        digest = hashlib.sha256(given.encode(errors="surrogatepass")).hexdigest()[:10]
        safe = f"{safe.encode()[: _LONGEST - 11].decode(errors='ignore').rstrip('. ')}-{digest}"
    return safe


def safe_names(names: Iterable[str]) -> list[str]:
    """Return a safe name for each, all different, also where capitals do not count; one that is taken gets its place in the row."""
    taken, found = set(), []
    for place, name in enumerate(names):
        plain = safe = safe_name(name)
        while safe.casefold() in taken:
            safe = f"{plain}-row{place}"
            plain = f"{plain}_"
        taken.add(safe.casefold())
        found.append(safe)
    return found
