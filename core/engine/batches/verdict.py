"""What is said about rows that bear no loss or were cut: mistakes that stop a run, and what one should know."""

from __future__ import annotations

from collections.abc import Iterator

from core.config.data import DataOptions
from core.config.stages import RowKind
from core.errors import DataError, Problem
from core.i18n import _, plural
from core.runs.plan import LeftOutRow, TokenReport
from core.untrusted import inert_line

_MOST_TOLD = 100


def sentence(row: LeftOutRow) -> str:
    """Why a row is left out, without its place."""
    match row.reason:
        case "too_long":
            return _("is longer than cutoff_len, and on_long_rows says drop")
        case "no_room":
            return _("the system prompt and the template's markers leave no room within cutoff_len")
        case "untrained":
            return _("no token bears loss")
        case "unanswered":
            return _("does not end with an answer")
        case "same_answers":
            return _("the better and the worse answer are the same, cut as they are")
        case "refused" | "unreadable":
            return inert_line(row.detail)


def mistakes(report: TokenReport, options: DataOptions) -> tuple[Problem, ...]:
    """Rows that a run stops at, the first of them; none where the options let them go."""
    if options.on_bad_rows == "skip":
        return ()
    hint = _("mend it, or leave bad rows out with on_bad_rows skip")
    found = [row for row in report.first_left_out if row.reason != "too_long"][:_MOST_TOLD]
    return tuple(Problem(inert_line(row.place), sentence(row), hint) for row in found)


def refuse_mistakes(report: TokenReport, options: DataOptions) -> None:
    """Stop at rows that cannot be trained on, and where nothing is left.

    Raises:
        DataError: all of them, as far as they were kept.
    """
    found = mistakes(report, options)
    if found:
        count = report.left_out - report.left_out_reasons.get("too_long", 0)
        head = _unusable(report.kind, count)
        lines = [f"  {problem.where}: {problem.what}" for problem in found]
        raise DataError("\n".join([f"{head}:", *lines]), _("mend them, or leave them out with on_bad_rows skip"))
    if not report.rows:
        raise DataError(nothing(report.kind), _("all {count} were left out").format(count=report.left_out))


def notices(report: TokenReport) -> Iterator[Problem]:
    """What became of rows, for whoever should know; `where` is the option that decides."""
    if report.cut_rows:
        many = _too_long(report.kind, report.cut_rows)
        share = _("{percent:.1f} % of them").format(percent=100 * report.cut_rows / max(report.rows, 1))
        lost = _("tokens lost: {turns} of old turns, {questions} of questions, {answers} of answers")
        hint = lost.format(
            turns=report.lost_turn_tokens, questions=report.lost_question_tokens, answers=report.lost_answer_tokens
        )
        places = ", ".join(map(inert_line, report.first_cut[:3]))
        yield Problem("cutoff_len", f"{many}: {share}, {places}", hint)
    if report.left_out:
        first = report.first_left_out[0]
        many = _left_out(report.kind, report.left_out)
        option = "on_long_rows" if first.reason == "too_long" else "on_bad_rows"
        yield Problem(option, many, f"{inert_line(first.place)}: {sentence(first)}")


# --- in words ----------------------------------------------------------------------------------------------------


def nothing(kind: RowKind) -> str:
    """That there is nothing to train on."""
    match kind:
        case "answers":
            return _("there is no row to train on")
        case "pairs":
            return _("there is no pair to train on")
        case "prompts":
            return _("there is no question to train on")


def _unusable(kind: RowKind, count: int) -> str:
    match kind:
        case "answers":
            return plural("{count} row cannot be trained on", "{count} rows cannot be trained on", count)
        case "pairs":
            return plural("{count} pair cannot be trained on", "{count} pairs cannot be trained on", count)
        case "prompts":
            return plural("{count} question cannot be asked", "{count} questions cannot be asked", count)


def _too_long(kind: RowKind, count: int) -> str:
    match kind:
        case "answers":
            return plural("{count} row is too long and is cut", "{count} rows are too long and are cut", count)
        case "pairs":
            return plural("{count} pair is too long and is cut", "{count} pairs are too long and are cut", count)
        case "prompts":
            return plural(
                "{count} question is too long and is cut", "{count} questions are too long and are cut", count
            )


def _left_out(kind: RowKind, count: int) -> str:
    match kind:
        case "answers":
            return plural("{count} row is left out", "{count} rows are left out", count)
        case "pairs":
            return plural("{count} pair is left out", "{count} pairs are left out", count)
        case "prompts":
            return plural("{count} question is left out", "{count} questions are left out", count)
