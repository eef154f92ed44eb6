"""An evaluation from Python: started, waited for, and its reports opened."""

from __future__ import annotations

from pathlib import Path

from core.config.evaluation import EVALUATION
from core.config.load import load
from core.errors import RunError
from core.i18n import _
from core.launch.evaluation import prepare_evaluation
from core.launch.start import start
from core.report.rows import OpenReport, open_report
from core.report.store import read_parts
from core.runs.events import RunFailed, RunFinished
from core.runs.rundir import RunDirectory
from core.runs.watch import follow
from core.untrusted import inert_line
from core.workspace import find_workspace

_FILES = (".yaml", ".yml", ".json")


def evaluate(config: Path | str | None = None, *, workspace: Path | None = None, **options: object) -> list[OpenReport]:
    """Evaluate, and wait for the end. The evaluation goes on when this process is ended meanwhile.

    Args:
        config: a YAML or JSON file of options; or whom to evaluate: a run, a checkpoint (`RUN@200`), an adapter.
        workspace: its folder; else the one that commands would use here.
        options: what `finetui eval` takes, by name; they win over the file.

    Returns:
        A report for each model and test set, those of a model one after another.

    Raises:
        ConfigError: all that stands against it.
        RunError: it cannot be started, failed, or was stopped before its end.
    """
    is_file = config is not None and Path(config).suffix.lower() in _FILES
    if config is not None and not is_file:
        options = {"adapter_name_or_path": [str(config)], **options}
    settings = load(EVALUATION, values=options, file=Path(config) if config is not None and is_file else None)
    run = start(prepare_evaluation(settings, find_workspace(workspace)))
    last = None
    for event in follow(run):
        last = event
    if not isinstance(last, RunFinished) or last.reason != "completed":
        raise _unfinished(run, last)
    return [open_report(run.path / part.folder) for part in read_parts(run.path)]


def _unfinished(run: RunDirectory, last: object) -> RunError:
    name = inert_line(run.name)
    hint = _("go on where it was: finetui runs resume {name}").format(name=name)
    if isinstance(last, RunFailed):
        return RunError(f"{name}: {last.error}", last.hint or hint)
    return RunError(_("the evaluation {name} ended before its end").format(name=name), hint)
