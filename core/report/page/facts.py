"""What the numbers of a report stand on: model, data, options, how long it took, and the training before it."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from core.i18n import _
from core.report.page.charts import Point, curves
from core.report.page.markup import Child, Html, folded, section, table, tag
from core.report.report import EvaluatedSet, Report, Subject
from core.runs.catalog import is_run
from core.runs.curve import Curve
from core.runs.history import History, read_history
from core.runs.rundir import RunDirectory
from core.workspace import Workspace

_SMOOTHING = 0.9
_LEVELS = 4


def pairs(told: Sequence[tuple[str, str]]) -> Html | None:
    """Names and values, those that are known."""
    rows: list[list[Child]] = [[name, value] for name, value in told if value]
    return table(["", ""], rows, "pairs") if rows else None


def subject_facts(subject: Subject) -> list[tuple[str, str]]:
    """Who answered."""
    return [
        (_("model"), subject.model),
        (_("adapter"), subject.adapter),
        (_("folder or address"), subject.path),
        (_("method"), subject.method),
        (_("template"), subject.template),
        (_("number format"), subject.dtype),
        (_("device"), subject.device),
        (_("hash of the weights"), subject.weights_sha256),
    ]


def data_facts(data: EvaluatedSet) -> list[tuple[str, str]]:
    """What was asked."""
    seen = _("not known: the training data is not known")
    if data.seen_in_training is not None:
        seen = _("{count:,} of {rows:,} questions").format(count=data.seen_in_training, rows=data.rows)
    return [
        (_("set"), data.name),
        (_("rows"), f"{data.rows:,}"),
        (_("left out"), f"{data.left_out:,}" if data.left_out else ""),
        (_("files"), ", ".join(data.files)),
        (_("hash of the files"), data.sha256),
        (_("seen in training"), seen),
        (_("training data"), ", ".join(data.training_sets)),
    ]


def course_facts(report: Report) -> list[tuple[str, str]]:
    """How it went."""
    runtimes = {
        "seconds": _("{value:.1f} s"),
        "loading": _("{value:.1f} s"),
        "rows_per_second": "{value:.2f}",
        "tokens_per_second": "{value:.1f}",
    }
    names = {
        "seconds": _("answering took"),
        "loading": _("loading took"),
        "rows_per_second": _("rows a second"),
        "tokens_per_second": _("tokens a second"),
    }
    known = [key for key in runtimes if key in report.runtimes]
    took = [(names[key], runtimes[key].format(value=report.runtimes[key])) for key in known]
    counts = [
        (_("answers"), f"{report.answered:,}"),
        (_("failed"), f"{report.failed:,}" if report.failed else ""),
        (_("empty"), f"{report.empty:,}" if report.empty else ""),
        (_("cut at the longest answer allowed"), f"{report.truncated:,}" if report.truncated else ""),
        (_("answers to each question"), f"{report.repeats}" if report.repeats > 1 else ""),
    ]
    return [*counts, *took]


def again(folder: Path, workspace: Workspace) -> str:
    """What one types to evaluate the same once more; empty where the evaluation's options are not known."""
    for run in (folder, *folder.parents[:_LEVELS]):
        if (run / "config.yaml").is_file():
            inside = run.is_relative_to(workspace.root)
            shown = (run.relative_to(workspace.root) if inside else run) / "config.yaml"
            return f"finetui eval {shlex.quote(shown.as_posix())}"
    return ""


def facts(report: Report, command: str = "") -> Html:
    """Everything that the numbers stand on.

    Args:
        command: what evaluates the same once more.
    """
    options = [(name, plain(value)) for name, value in report.config.items()]
    return section(
        _("What they stand on"),
        tag("h3", _("Who answered")),
        pairs(subject_facts(report.subject)),
        tag("br"),
        tag("h3", _("What was asked")),
        pairs(data_facts(report.data)),
        tag("br"),
        tag("h3", _("How it went")),
        pairs(course_facts(report)),
        tag("p", _("the same again:"), " ", tag("code", command)) if command else None,
        folded(_("all options"), pairs(options)) if report.config else None,
        folded(_("versions"), pairs(list(report.packages.items()))) if report.packages else None,
    )


def plain(value: object) -> str:
    """An option's value as it is typed."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {plain(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(plain, value))
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def when(moment: float) -> str:
    """A time of day on this machine."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(moment)) if moment else ""


# --- the training before ------------------------------------------------------------------------------------------


def training(subject: Subject, workspace: Workspace) -> Html:
    """The curves of the training that made the adapter, where its run is here."""
    run = training_run(subject, workspace)
    if run is None:
        return Html("")
    history = read_history(run)
    drawn = [drawing for name in ("loss", "learning_rate") if (drawing := _curve(history, name))]
    return section(_("How it was trained"), tag("div", *drawn, class_="charts") if drawn else None, note=run.name)


def training_run(subject: Subject, workspace: Workspace) -> RunDirectory | None:
    """The run that an adapter comes from: its folder, or one that its folder lies in."""
    if not subject.path or "://" in subject.path:
        return None
    folder = workspace.root / Path(subject.path).expanduser()
    above = (folder, *folder.parents)[:_LEVELS]
    return next((RunDirectory(path) for path in above if is_run(path)), None)


def _curve(history: History, name: str) -> Html | None:
    raw, evaluated = _points(history.curves.get(name)), _points(history.curves.get(f"eval_{name}"))
    if len(raw) < 2:
        return None
    told = name if not evaluated else _("{name}, with dots: eval_{name}").format(name=name)
    smooth = smoothed(raw) if name == "loss" else raw
    return tag("figure", tag("figcaption", told), curves(smooth, raw if smooth is not raw else (), evaluated))


def _points(curve: Curve | None) -> list[Point]:
    return [(piece.last, piece.mean) for piece in curve.slices] if curve else []


def smoothed(points: Sequence[Point]) -> list[Point]:
    """An exponential mean whose beginning is not drawn to zero."""
    mean = weight = 0.0
    smooth = []
    for x, y in points:
        if y == y:
            mean, weight = _SMOOTHING * mean + (1 - _SMOOTHING) * y, _SMOOTHING * weight + (1 - _SMOOTHING)
            smooth.append((x, mean / weight))
    return smooth
