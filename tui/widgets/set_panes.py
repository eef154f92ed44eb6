"""What is known of a whole data set, one pane each: lengths, classes, problems."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from core.data.checks import Report
from core.data.problems import DataProblem
from core.data.statistics import Statistics
from core.untrusted import inert
from tui.widgets.set_pages import class_content, classes_title, lengths_content, problem_content, report_title

_MOST_CLASSES = 500


class LengthsPane(VerticalScroll, can_focus=True):
    """Histograms of lengths."""

    DEFAULT_CSS = """
    LengthsPane { padding: 1 1 0 1; scrollbar-size-vertical: 1; }
    LengthsPane Static { width: 100%; height: auto; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._shown: tuple[Statistics | None, str] = (None, "")

    def compose(self) -> ComposeResult:
        yield Static(Content(""))

    def show(self, counted: Statistics | None, waiting: str) -> None:
        """Show figures, or what is waited for."""
        self._shown = (counted, waiting)
        text = lengths_content(counted, self.size.width - 3) if counted else Content(inert(waiting))
        self.query_one(Static).update(text)

    def on_resize(self) -> None:
        self.show(*self._shown)


class _ListPane(Vertical):
    """A list under a line that says what it is."""

    DEFAULT_CSS = """
    _ListPane Static { height: auto; padding: 0 1; margin: 1 0; }
    """

    def compose(self) -> ComposeResult:
        yield Static(Content(""))
        yield OptionList(markup=False)

    def _list(self, title: Content, options: list[Content]) -> None:
        self.query_one(Static).update(title)
        listed = self.query_one(OptionList)
        at = listed.highlighted or 0
        listed.clear_options()
        listed.add_options(map(Option, options))
        listed.highlighted = min(at, len(options) - 1) if options else None

    @property
    def _width(self) -> int:
        return max(10, self.size.width - 3)

    def on_resize(self) -> None:
        """Lay the lines out anew; a pane has no width before it is seen."""
        self._show_again()

    def _show_again(self) -> None:
        raise NotImplementedError


class ClassesPane(_ListPane):
    """The classes of a set, the largest first."""

    class Chosen(Message):
        """The rows of a class are wanted."""

        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

    def __init__(self) -> None:
        super().__init__()
        self._names: list[str] = []
        self._shown: tuple[Statistics | None, str] = (None, "")

    def _show_again(self) -> None:
        self.show(*self._shown)

    def show(self, counted: Statistics | None, waiting: str) -> None:
        """Show classes, or what is waited for."""
        self._shown = (counted, waiting)
        if counted is None:
            self._list(Content(inert(waiting)), [])
            return
        classes = counted.classes.counts[:_MOST_CLASSES]
        self._names = [name for name, _count in classes]
        most = max((count for _name, count in classes), default=1)
        lines = [class_content(name, count, most, counted.rows, self._width) for name, count in classes]
        self._list(classes_title(counted.classes, counted.rows), lines)

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.post_message(self.Chosen(self._names[event.option_index]))


class ProblemsPane(_ListPane):
    """What a check has found."""

    class Chosen(Message):
        """The row with a problem is wanted."""

        def __init__(self, problem: DataProblem) -> None:
            super().__init__()
            self.problem = problem

    def __init__(self) -> None:
        super().__init__()
        self._problems: tuple[DataProblem, ...] = ()
        self._shown: tuple[Report | None, str] = (None, "")

    def _show_again(self) -> None:
        self.show(*self._shown)

    def show(self, report: Report | None, waiting: str) -> None:
        """Show problems, or what is waited for."""
        self._shown = (report, waiting)
        if report is None:
            self._list(Content(inert(waiting)), [])
            return
        self._problems = report.problems
        self._list(report_title(report), [problem_content(problem, self._width) for problem in report.problems])

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.post_message(self.Chosen(self._problems[event.option_index]))
