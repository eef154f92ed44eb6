"""A Python file of the user's own, run as code that the user wrote and named: metrics, and rewards of a training."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import IO, Any

from core.errors import MetricError
from core.i18n import _


def run_file(path: Path) -> ModuleType:
    """The module of a file, whose `print` goes to stderr.

    Raises:
        MetricError: there is no such file, or it cannot be run.
    """
    # under a name of its own: metrics of the same file name must not replace each other, nor a module
    name = f"finetui_metric_{hashlib.sha256(str(path.absolute()).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        what = _("{path}: there is no such Python file").format(path=path)
        raise MetricError(what, _("name a file that ends in .py, or a metric: finetui score --list"))
    module = importlib.util.module_from_spec(spec)
    module.__dict__["print"] = _print_aside
    sys.modules[name] = module
    _find_beside(path)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise MetricError(_("{place}: {error}").format(place=place_of(error, path), error=told_of(error))) from error
    return module


def _find_beside(path: Path) -> None:
    """Have the file find those beside it, as `python FILE` does; last, so that none takes the place of ours."""
    folder = str(path.absolute().parent)
    if folder not in sys.path:
        sys.path.append(folder)


def _print_aside(*values: object, file: IO[str] | None = None, **options: Any) -> None:
    """The file's `print`: what is piped on is the numbers."""
    print(*values, file=file or sys.stderr, **options)


def place_of(error: BaseException, path: Path) -> str:
    """`file:line` of the deepest line that stands in the user's file."""
    if isinstance(error, SyntaxError) and error.lineno is not None:
        return f"{path}:{error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == path]
    return f"{path}:{lines[-1]}" if lines else str(path)


def told_of(error: BaseException) -> str:
    """What an error says, in a line."""
    message = error.msg if isinstance(error, SyntaxError) else str(error)
    return f"{type(error).__name__}: {message}" if message else type(error).__name__
