"""The options of a run as its `config.yaml` says them: texts, for who shows a run and starts none.

Read without the declarations of the options, which cost 80 ms to import; so nothing is checked here.
"""

from __future__ import annotations

from collections.abc import Mapping

from core.config.files import read_pairs
from core.errors import ConfigError
from core.runs.rundir import RunDirectory


def run_options(run: RunDirectory) -> Mapping[str, str]:
    """Every option by its name, lists joined by commas, without those that are null; empty where nothing can be read,
    as for runs of others."""
    try:
        pairs = read_pairs(run.config, run.name)
    except ConfigError:
        return {}
    return {name: value if isinstance(value, str) else ",".join(value) for name, value, _line in pairs if value}


def option_number(options: Mapping[str, str], name: str) -> float | None:
    """An option that is a number; None where it is not there or is none."""
    try:
        return float(options[name])
    except (KeyError, ValueError):
        return None
