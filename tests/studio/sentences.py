"""Every sentence in the source: all strings with a space that could reach a person."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from common import errors

ROOT = Path(__file__).parents[2]
PACKAGES = ("common", "preprocess", "fusion", "studio/service")
CALLS = ("studio/page/calls", "studio/page/visits.py")
"""Of the page, whose texts are in a table: only what its calls refuse is a sentence."""

HOLE = "\0"
"""Where a value stands in a sentence; values that touch are one."""

# What is raised for programmers, or caught by us and told in other words.
_INTERNAL = {
    *("ValueError", "TypeError", "RuntimeError", "MemoryError", "KeyError", "error", "TiffError"),
    "Error",  # libvips' own: it becomes a damaged picture, a full disk or a failed write
}
_LOGS = {"LOG", "_LOG", "log", "logger"}
_PATTERNS = {"re"}
_WORD = re.compile("[A-Za-z]{2}")
_FIELDS = re.compile(r"\{\w*(?::[^{}]*)?\}")


@dataclass(frozen=True, slots=True)
class Sentence:
    """A string of the source. shape: its words, with a `HOLE` for each value."""

    shape: str
    file: str
    line: int


def shape_of(template: str) -> str:
    """The shape of a template whose values are written as ``{name}``."""
    return re.sub(f"{HOLE}+", HOLE, _FIELDS.sub(HOLE, template))


@cache
def sentences() -> list[Sentence]:
    """All of the packages, those of programmers' errors and of logs left out."""
    found = []
    for path in _files(*PACKAGES):
        file = path.relative_to(ROOT).as_posix()
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for shape, line in _strings(tree, _docstrings(tree)):
            if " " in shape.strip() and _WORD.search(shape):
                found.append(Sentence(shape, file, line))
    return found


@cache
def refusals() -> list[Sentence]:
    """The strings that errors of the tree are made with, the page's calls included."""
    kinds = {name for name, found in vars(errors).items() if isinstance(found, type)}
    kinds.add("GraftError")
    found = []
    for path in _files(*PACKAGES, *CALLS):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            shape = shape_of(template_of(node.args[0]))
            if name in kinds and _WORD.search(shape):
                found.append(Sentence(shape, path.relative_to(ROOT).as_posix(), node.lineno))
    return found


def words() -> set[str]:
    """Every plain string of the packages."""
    return {
        node.value
        for path in _files(*PACKAGES)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def _files(*places: str) -> Iterator[Path]:
    for place in places:
        path = ROOT / place
        yield from [path] if path.is_file() else sorted(path.rglob("*.py"))


def _strings(node: ast.AST, skipped: set[ast.AST]) -> Iterator[tuple[str, int]]:
    """(shape, line) of the whole strings under a node, and of those inside their values."""
    if node in skipped or _is_internal(node):
        return
    if _is_string(node):
        yield shape_of(template_of(node)), getattr(node, "lineno", 0)
        for value in _values(node):
            yield from _strings(value, skipped)
        return
    for child in ast.iter_child_nodes(node):
        yield from _strings(child, skipped)


def _is_string(node: ast.AST) -> bool:
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, ast.Add) and (_is_string(node.left) or _is_string(node.right))
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


def template_of(node: ast.AST) -> str:
    """A string expression with a `HOLE` for each value; one `HOLE` for any other expression."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(template_of(part) for part in node.values)
    if isinstance(node, ast.BinOp) and _is_string(node):
        return template_of(node.left) + template_of(node.right)
    return HOLE


def _values(node: ast.AST) -> list[ast.AST]:
    """The expressions in a string's holes."""
    if isinstance(node, ast.JoinedStr):
        return [part.value for part in node.values if isinstance(part, ast.FormattedValue)]
    if isinstance(node, ast.BinOp):
        return [*_values(node.left), *_values(node.right)]
    return [] if isinstance(node, ast.Constant) else [node]


def _is_internal(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    function = node.func
    owner = getattr(getattr(function, "value", None), "id", "")
    name = getattr(function, "attr", getattr(function, "id", ""))
    return owner in _LOGS | _PATTERNS or name in _INTERNAL


def _docstrings(tree: ast.AST) -> set[ast.AST]:
    """Strings that stand alone: they tell programmers."""
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
