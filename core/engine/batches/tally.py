"""What became of rows, counted while they are encoded, and joined over processes."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from core.config.stages import RowKind
from core.data.problems import DataProblem
from core.engine.batches.cut import Cut
from core.engine.batches.encode import LeftOut
from core.engine.batches.recipe import Encodings
from core.runs.plan import LeftOutRow, TokenReport

_FIRST = 100
"""How many places of rows are told, for each reason: long rows that may go do not hide those that stop a run."""
_SUMMED = (
    "rows",
    "tokens",
    "trained_tokens",
    "cut_rows",
    "cut_turns",
    "cut_questions",
    "cut_answers",
    "lost_turn_tokens",
    "lost_question_tokens",
    "lost_answer_tokens",
    "left_out",
)


@dataclass
class Tally:
    """Counts so far."""

    kind: RowKind = "answers"
    sums: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    longest: int = 0
    first_cut: list[str] = field(default_factory=list)
    first_left_out: list[LeftOutRow] = field(default_factory=list)

    def add(self, result: Encodings | LeftOut, place: Callable[[], str]) -> None:
        if isinstance(result, LeftOut):
            self.sums["left_out"] += 1
            self.reasons[result.reason] += 1
            if self.reasons[result.reason] <= _FIRST:
                self.first_left_out.append(LeftOutRow(place(), result.reason, result.detail))
            return
        lengths = [len(row.ids) for row in result.rows]
        self.sums["rows"] += 1
        self.sums["tokens"] += sum(lengths)
        self.sums["trained_tokens"] += sum(row.targets for row in result.rows)
        self.longest = max(self.longest, *lengths)
        if result.cut is not None:
            self._add_cut(result.cut, place)

    def _add_cut(self, cut: Cut, place: Callable[[], str]) -> None:
        self.sums["cut_rows"] += 1
        for kind, tokens in {"turn": cut.turns, "question": cut.question, "answer": cut.answer}.items():
            self.sums[f"cut_{kind}s"] += tokens > 0
            self.sums[f"lost_{kind}_tokens"] += tokens
        if len(self.first_cut) < _FIRST:
            self.first_cut.append(place())

    def report(self) -> TokenReport:
        return TokenReport(
            kind=self.kind,
            **{name: self.sums[name] for name in _SUMMED},
            longest=self.longest,
            first_cut=tuple(self.first_cut),
            left_out_reasons=dict(self.reasons),
            first_left_out=tuple(self.first_left_out),
        )


def joined(reports: Iterable[TokenReport]) -> TokenReport:
    """The report of parts that follow one another."""
    whole = TokenReport()
    for part in reports:
        whole = dataclasses.replace(
            part,
            **{name: getattr(whole, name) + getattr(part, name) for name in _SUMMED},
            longest=max(whole.longest, part.longest),
            first_cut=(*whole.first_cut, *part.first_cut)[:_FIRST],
            left_out_reasons=dict(Counter(whole.left_out_reasons) + Counter(part.left_out_reasons)),
            first_left_out=_first_of_each(*whole.first_left_out, *part.first_left_out),
        )
    return whole


def with_bad_rows(report: TokenReport, count: int, problems: Sequence[DataProblem]) -> TokenReport:
    """The report with rows that were left out before, because they cannot be read.

    Args:
        problems: of the first of them.
    """
    if not count:
        return report
    rows = [LeftOutRow(one.where, "unreadable", f"{one.what}: {one.hint}".rstrip(": ")) for one in problems]
    return dataclasses.replace(
        report,
        left_out=report.left_out + count,
        left_out_reasons=dict(Counter(report.left_out_reasons) + Counter(unreadable=count)),
        first_left_out=_first_of_each(*rows, *report.first_left_out),
    )


def _first_of_each(*rows: LeftOutRow) -> tuple[LeftOutRow, ...]:
    """The first rows of each reason, in their order."""
    seen = Counter[str]()
    kept = []
    for row in rows:
        seen[row.reason] += 1
        if seen[row.reason] <= _FIRST:
            kept.append(row)
    return tuple(kept)
