"""What names a Python file binds, read without running it.

Whatever stands below `if`, `try`, `with` or a loop may be bound, so it counts: who refuses a file before a run must
never refuse one that would have worked.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from typing import Literal, TypeAlias

Bound: TypeAlias = Literal["async", "other"]
ANY = "*"
"""Bound where a file imports everything of another one: it may have any name."""
_BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")


def bound_names(tree: ast.Module) -> Mapping[str, Bound]:
    """The names that a module binds at its top, and whether it is an `async def` that binds one."""
    names: dict[str, Bound] = {}
    for statement in _statements(tree.body):
        names |= dict.fromkeys(_names_of(statement), "other")
        if isinstance(statement, ast.AsyncFunctionDef):
            names[statement.name] = "async"
    return names


def _statements(body: Iterable[ast.AST]) -> Iterable[ast.AST]:
    """The statements of a block and of the blocks in it, but for those of functions and classes."""
    for statement in body:
        yield statement
        if not isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            for block in _BLOCKS:
                inner = getattr(statement, block, ())
                yield from _statements(inner if isinstance(inner, list) else ())


def _names_of(statement: ast.AST) -> Iterable[str]:
    match statement:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.Assign(targets=targets):
            return [name for target in targets for name in _targets(target)]
        case ast.AnnAssign(target=target, value=value) if value is not None:
            return _targets(target)
        case ast.Import(names=imported) | ast.ImportFrom(names=imported):
            return [one.asname or one.name.partition(".")[0] for one in imported]
    return ()


def _targets(target: ast.expr) -> list[str]:
    return [node.id for node in ast.walk(target) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
