"""What the source says of a Struct's fields and an enum's members: the strings below them, for documents and help texts."""

from __future__ import annotations

import ast
import inspect
import itertools
import sys
from collections.abc import Mapping
from functools import lru_cache


def field_docs(type_: type) -> Mapping[str, str]:
    """By the name of the field or member, each in one line; empty where there is no source.  Bases count too."""
    docs: dict[str, str] = {}
    for each in reversed(type_.__mro__):
        docs |= _docs_of_module(each.__module__).get(each.__qualname__, {})
    return docs


def type_doc(type_: type) -> str:
    """The docstring of the class itself, its paragraphs apart; empty without one."""
    return inspect.cleandoc(type_.__dict__.get("__doc__") or "")


@lru_cache(maxsize=256)
def _docs_of_module(name: str) -> Mapping[str, Mapping[str, str]]:
    """Of all classes of a module, by their qualified names.  The source is parsed once: that is what takes the time."""
    if name.partition(".")[0] in ("builtins", "enum", "msgspec"):
        return {}
    try:
        tree = ast.parse(inspect.getsource(sys.modules[name]))
    except (KeyError, OSError, TypeError, SyntaxError):
        return {}
    return dict(_classes(tree.body, ""))


def _classes(body: list[ast.stmt], outer: str) -> list[tuple[str, dict[str, str]]]:
    found: list[tuple[str, dict[str, str]]] = []
    for statement in body:
        if isinstance(statement, ast.ClassDef):
            found.append((f"{outer}{statement.name}", _fields(statement.body)))
            found += _classes(statement.body, f"{outer}{statement.name}.")
    return found


def _fields(body: list[ast.stmt]) -> dict[str, str]:
    docs: dict[str, str] = {}
    for field, below in itertools.pairwise(body):
        if (name := _name(field)) and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            docs[name] = " ".join(str(below.value.value).split())
    return docs


def _name(statement: ast.stmt) -> str:
    """Of the field or member that the statement makes."""
    match statement:
        case ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]):
            return name
    return ""
