"""YAML as settings are written in: what it says twice, or could mean otherwise, is refused, and every error is one line."""

import re
from pathlib import Path

import yaml

LARGEST = 200_000  # bytes of a file of settings; PyYAML reads so much in about a second
_MOST = 50_000  # nodes, those that an alias repeats counted anew: a few lines of aliases of aliases can stand for billions
_ODD_NUMBER = re.compile(r"[-+]?0[0-9_]+|[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+")  # YAML 1.1 takes 010 for 8, and 1:30 for 90


class YamlError(ValueError):
    """Text that is no YAML, or not what YAML is here; the message is one line, with the line's number."""


def read_yaml_text(path: Path) -> str:
    """Return the text of a file of settings, UTF-8 with or without a byte-order mark.

    Raises:
        YamlError: it cannot be read, is too large, or in another encoding.
    """
    try:
        if not path.is_file():
            raise YamlError("no such file" if not path.exists() else "no regular file; expected settings, as YAML")
        if path.stat().st_size > LARGEST:
            raise YamlError(f"{path.stat().st_size} bytes; expected settings, of at most {LARGEST}")
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise YamlError(f"cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise YamlError(f"not UTF-8 (byte {error.object[error.start]:#04x} at place {error.start}); save it as UTF-8") from None


def parse_yaml(text: str):
    """Return what YAML text says, as dictionaries, lists and scalars.

    Raises:
        YamlError: it is no YAML, names a key twice, writes a number as YAML 1.1 alone reads it, or repeats itself without end.
    """
    loader = None
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _size(node, {}, ())
        return loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        what = ", ".join(filter(None, [error.context, error.problem]))
        raise YamlError(f"not YAML: {_place(error.problem_mark or error.context_mark)}{what}") from None
    except yaml.reader.ReaderError as error:
        raise YamlError(f"not YAML: {error.reason}: character {error.character:#x} at place {error.position}") from None
    except RecursionError:
        raise YamlError("not settings: nested too deep") from None
    except YamlError:
        raise
    except (ValueError, TypeError, ArithmeticError, LookupError, AttributeError) as error:  # `2026-13-45`, `!!timestamp x`: PyYAML's own
        raise YamlError(f"not YAML: {' '.join(str(error).split())[:200]}") from None
    finally:
        if loader is not None:
            loader.dispose()


def _size(node: yaml.Node, known: dict[int, int], above: tuple[int, ...]) -> int:
    """Count the nodes that a node stands for, and check its keys and numbers."""
    if id(node) in above:
        raise YamlError(f"{_place(node.start_mark)}an alias of itself")
    if id(node) in known:
        return known[id(node)]
    if isinstance(node, yaml.ScalarNode):
        if node.tag == "tag:yaml.org,2002:int" and node.style is None and _ODD_NUMBER.fullmatch(node.value):
            expected = "expected it without leading zeros and colons, or in quotes"
            raise YamlError(f"{_place(node.start_mark)}the number {node.value[:20]}: {expected}")
        size = 1
    else:
        keys = [key for key, _ in node.value] if isinstance(node, yaml.MappingNode) else []
        _check_keys(keys)
        parts = [part for pair in node.value for part in pair] if keys else node.value
        size = 1 + sum(_size(part, known, (*above, id(node))) for part in parts)
    if size > _MOST:
        raise YamlError(f"{_place(node.start_mark)}more than {_MOST} values, aliases spelt out; expected settings")
    known[id(node)] = size
    return size


def _check_keys(keys: list[yaml.Node]) -> None:
    lines: dict[str, int] = {}
    for key in keys:
        if not isinstance(key, yaml.ScalarNode):
            raise YamlError(f"{_place(key.start_mark)}a key that is a list or a mapping; expected a word")
        if key.value in lines:
            raise YamlError(f"{_place(key.start_mark)}the key '{key.value[:60]}', as in line {lines[key.value]}; expected it once")
        lines[key.value] = key.start_mark.line + 1


def _place(mark: yaml.Mark | None) -> str:
    return f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
