"""One row of a data set, as it is read: for its line in a list, and in full."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from textual.content import Content

from core.chat.message import Message
from core.data.example import Comparison, Example, Prompt
from core.data.formats import READERS, RowShape
from core.data.problems import Fault, Place, RowProblem
from core.data.rows import Rows
from core.i18n import _
from core.untrusted import inert, inert_line

_LONGEST_TEXT = 20_000
_PREVIEWED = 400
_WORTH_HIDING = 8


@dataclass(frozen=True, slots=True)
class Reading:
    """A row as a training would read it, or what keeps it from being read."""

    place: Place
    example: Example | Comparison | Prompt | None
    faults: tuple[Fault, ...] = ()
    raw: str = ""
    """Of a row with faults: what stands in the file."""

    @property
    def messages(self) -> tuple[Message, ...]:
        """The conversation with its answer, where it has one; of two answers the better one."""
        match self.example:
            case Example(messages) | Prompt(messages):
                return messages
            case Comparison(messages, chosen):
                return (*messages, Message("assistant", chosen))
            case None:
                return ()

    @property
    def conversations(self) -> tuple[tuple[str, tuple[Message, ...]], ...]:
        """What a training reads of the row, each with its name: one conversation, or two that differ in their end."""
        match self.example:
            case Comparison(messages, _chosen, rejected):
                return (_("better"), self.messages), (_("worse"), (*messages, Message("assistant", rejected)))
            case Example() | Prompt():
                return (("", self.messages),)
            case None:
                return ()


def read_row(rows: Rows, shape: RowShape, number: int) -> Reading:
    """Read a row; nothing is raised about it."""
    faults: list[Fault]
    example: Example | Comparison | Prompt | None
    try:
        row, place = rows[number]
        example, faults = READERS[shape.kind](row, shape)
    except RowProblem as problem:
        example, faults, place = None, [problem.fault], problem.place
    raw = rows.raw(number).decode(errors="replace") if faults else ""
    return Reading(place, example, tuple(faults), raw)


class ReadRows:
    """All rows of a set as examples, by their numbers; of two answers the better one."""

    def __init__(self, rows: Rows, shape: RowShape) -> None:
        self._rows, self._shape = rows, shape

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, number: int) -> Example | Prompt:
        """A row.

        Raises:
            RowProblem: it cannot be trained on.
        """
        reading = read_row(self._rows, self._shape, number)
        if reading.faults:
            raise RowProblem(reading.place, reading.faults[0])
        return reading.example if isinstance(reading.example, Prompt) else Example(reading.messages)


@dataclass(frozen=True, slots=True)
class Columns:
    """How the rows of a set are laid out as lines: what their questions begin with is left out, answers stand below one
    another."""

    opening: str = ""
    """What every question begins with."""
    answer: int = 0
    """Cells of the answers."""


def columns_of(readings: Sequence[Reading]) -> Columns:
    """The layout for a set, judged by some of its rows."""
    good = [reading for reading in readings if reading.messages]
    if not good:
        return Columns()
    shared = _shared_opening([_question(reading) for reading in good])
    lengths = sorted(cell_len(inert_line(_answer(reading)[:_PREVIEWED])) for reading in good)
    return Columns(shared if len(good) > 1 and len(shared) >= _WORTH_HIDING else "", lengths[len(lengths) * 9 // 10])


def _shared_opening(texts: Sequence[str]) -> str:
    """What all of them begin with: what the first and the last in their order do."""
    first, last = min(texts), max(texts)
    end = next((at for at, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), len(first))
    return first[:end]


def preview(reading: Reading, width: int, columns: Columns) -> tuple[str, str]:
    """A row's last question and its answer, each in its column of a line; of a bad row its fault."""
    if reading.faults:
        return cut(_("! {problem}").format(problem=reading.faults[0].what), width), ""
    question, answer = _question(reading), _answer(reading)
    if columns.opening and question.startswith(columns.opening):
        question = "…" + question[len(columns.opening) :]
    room = max(4, min(columns.answer, width // 2))
    left = max(1, width - room - 3)
    return set_cell_size(cut(question, left), left), cut(answer, room)


def _question(reading: Reading) -> str:
    return next((m.content for m in reversed(reading.messages) if m.role == "user"), "")


def _answer(reading: Reading) -> str:
    return reading.messages[-1].content if reading.messages[-1].role == "assistant" else ""


def cut(text: str, width: int) -> str:
    """A text in one line of at most so many cells."""
    line = inert_line(text[:_PREVIEWED])
    if cell_len(line) <= width and len(text) <= _PREVIEWED:
        return line
    return set_cell_size(line, max(0, min(width, cell_len(line) + 1) - 1)).rstrip() + "…"


def reading_content(reading: Reading) -> Content:
    """A row in full: who says what; of a bad one what is wrong with it, and its text."""
    if reading.faults:
        parts = [Content.assemble((f"! {inert_line(fault.what)}", "bold $text-warning")) for fault in reading.faults]
        hints = [Content(f"  {inert_line(fault.hint)}") for fault in reading.faults]
        told = [line for pair in zip(parts, hints, strict=True) for line in pair]
        return Content("\n").join([*told, Content(""), Content(_shortened(reading.raw))])
    if isinstance(reading.example, Comparison):
        said = _said(reading.example.messages)
        better = _block(_("better"), "$text-success", reading.example.chosen)
        worse = _block(_("worse"), "$text-warning", reading.example.rejected)
        return Content("\n\n").join([*said, better, worse])
    return Content("\n\n").join(_said(reading.messages))


def _said(messages: Sequence[Message]) -> list[Content]:
    styles = {"assistant": "$text-success", "user": "$text-primary"}
    return [_block(_(message.role), styles.get(message.role, "$muted"), message.content) for message in messages]


def _block(who: str, style: str, text: str) -> Content:
    return Content.assemble((f"▎{who}", f"bold {style}"), "\n", _shortened(text))


def _shortened(text: str) -> str:
    if len(text) <= _LONGEST_TEXT:
        return inert(text)
    more = _("… {count:,} more characters").format(count=len(text) - _LONGEST_TEXT)
    return f"{inert(text[:_LONGEST_TEXT])}\n{more}"
