"""What a check of data sets can only say with a model at hand: rows that are cut, rows without a trained token.

The engine makes the rows tokens, in a process of its own and without weights, exactly as a training does.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence

from core.data.checks import KEPT, Report
from core.data.problems import DataProblem
from core.errors import ConfigError
from core.i18n import _
from core.runs.plan import LeftOutRow, Plan, Planning, Refused, TokenReport
from core.workspace import Workspace
from tui.cli.console import Progress
from tui.plan_child import ask_engine


def with_tokens(
    report: Report,
    names: Sequence[str],
    model: str,
    options: Mapping[str, str | int],
    workspace: Workspace,
    progress: Progress,
) -> Report:
    """A report with what the tokens add to it.

    Raises:
        ConfigError: the model cannot be used, or no row can.
        RunError: the engine ended without an answer.
    """
    config = {**options, "model_name_or_path": model, "dataset": list(names), "on_bad_rows": "skip"}
    for record in ask_engine(json.dumps(config, ensure_ascii=False), workspace, dry=False):
        match record:
            case Planning(fraction=fraction):
                progress.show(_("rows become tokens"), f"{fraction:.0%}")
            case Refused(problems=problems):
                progress.clear()
                raise ConfigError(problems)
            case Plan(report=tokens):
                return _joined(report, tokens, options["cutoff_len"])
    return report


def _joined(report: Report, tokens: TokenReport, cutoff_len: str | int) -> Report:
    untrained = [row for row in tokens.first_left_out if row.reason != "unreadable"]
    found = [*map(_left_out, untrained), *_cut(tokens, cutoff_len)]
    same = tokens.left_out_reasons.get("same_answers", 0)
    left_out = tokens.left_out - tokens.left_out_reasons.get("unreadable", 0)
    same_before = report.counts.get("same_answers", 0)  # without any cut
    counts = {"no_trained_token": left_out - same, "cut": tokens.cut_rows, "same_answers": same_before + same}
    errors = [problem for problem in (*report.problems, *found) if problem.severity == "error"]
    warnings = [problem for problem in (*report.problems, *found) if problem.severity == "warning"]
    return dataclasses.replace(
        report,
        bad_rows=report.bad_rows + left_out,
        problems=tuple([*errors, *warnings][:KEPT]),
        counts={**report.counts, **{kind: count for kind, count in counts.items() if count}},
    )


def _left_out(row: LeftOutRow) -> DataProblem:
    whats = {
        "untrained": _("no token of the row bears loss"),
        "no_room": _("the system prompt and the template's marks leave no room within cutoff_len"),
        "unanswered": _("the row does not end with an answer"),
        "too_long": _("the row is longer than cutoff_len"),
        "same_answers": _("the better and the worse answer are the same once they are cut"),
    }
    what = whats.get(row.reason) or row.detail
    kind = "same_answers" if row.reason == "same_answers" else "no_trained_token"
    return DataProblem(row.place, kind, what, _("shorten it, take it out, or raise cutoff_len"))


def _cut(tokens: TokenReport, cutoff_len: str | int) -> Iterator[DataProblem]:
    what = _("the row is longer than {count} tokens and is cut").format(count=cutoff_len)
    for place in tokens.first_cut:
        yield DataProblem(place, "cut", what, _("shorten it, or raise cutoff_len"))
