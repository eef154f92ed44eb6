"""The page of a run's checkpoints."""

from __future__ import annotations

from typing import ClassVar

from rich.cells import cell_len
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from core.i18n import _
from core.models.figures import size_text
from core.runs.events import CheckpointSaved
from core.runs.history import History
from core.runs.quantities import TrainingStage
from core.untrusted import inert_line
from tui.charts.axes import number_text
from tui.curve_plots import told_at


class CheckpointsPage(OptionList):
    """The checkpoints of a run; keys of the screen act on the highlighted one."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("left", "screen.back", _("Back to the runs"), show=False)]
    DEFAULT_CSS = """
    CheckpointsPage, CheckpointsPage:focus {
        height: 1fr; border: none; padding: 0; background: transparent; scrollbar-size-vertical: 1;
        & > .option-list--option { padding: 0 1; }
        & > .option-list--option-highlighted { background: $primary 15%; color: $text; text-style: none; }
    }
    CheckpointsPage:focus > .option-list--option-highlighted { background: $primary 25%; }
    """

    def __init__(self) -> None:
        super().__init__(markup=False)
        self._saved: list[CheckpointSaved] = []
        self._width = 0
        self._history: History | None = None
        self._stage: TrainingStage = "sft"
        self._pipeline = False
        self._none = ""
        """What is said where there is no checkpoint."""

    def on_resize(self) -> None:
        self.show(self._history, self._stage, self._pipeline)

    def show(self, history: History | None, stage: TrainingStage, pipeline: bool = False) -> None:
        """The newest first."""
        self._history, self._stage, self._pipeline = history, stage, pipeline
        none = _none_text(history, pipeline)
        there = history.checkpoints if history is not None else []
        saved = [each for each in reversed(there) if history and (history.run.path / each.path).is_dir()]
        if saved == self._saved and self.size.width == self._width and self.option_count and none == self._none:
            return
        before = self.current
        self._saved, self._width, self._none = saved, self.size.width, none
        self.clear_options()
        if not saved or history is None:
            self.add_option(Option(Content(none), disabled=True))
            return
        self.add_options(Option(checkpoint_content(each, history, stage, self.size.width - 3)) for each in saved)
        paths = [each.path for each in saved]
        self.highlighted = paths.index(before.path) if before is not None and before.path in paths else 0

    @property
    def current(self) -> CheckpointSaved | None:
        """The highlighted checkpoint."""
        index = self.highlighted
        return self._saved[index] if index is not None and index < len(self._saved) else None


def _none_text(history: History | None, pipeline: bool) -> str:
    if pipeline:
        return _("The checkpoints of a pipeline are in its steps' runs.")
    if history is not None and (history.finished is not None or history.failed is not None):
        return _("No checkpoint: the run ended before it saved one. c duplicates it, with save_steps as you like.")
    return _("No checkpoint yet: w saves one now.")


def checkpoint_content(saved: CheckpointSaved, history: History, stage: TrainingStage, width: int) -> Content:
    """A checkpoint in one line: which, how good, how large."""
    curve = history.curves.get("eval_loss")
    looked = next((point.mean for point in curve.slices if point.last == saved.step), None) if curve else None
    name = _("the end") if saved.path == "." else inert_line(saved.path.rpartition("/")[2])
    left = Content.assemble((name, "bold"), "  ", (_("step {n}").format(n=saved.step), "$muted"))
    right = "  ".join(
        filter(
            None,
            (
                _("best") if saved.best else "",
                _("eval loss {loss}").format(loss=number_text(looked)) if looked is not None else "",
                told_at(history, stage, saved.step),
                size_text(saved.bytes),
            ),
        )
    )
    gap = max(1, width - left.cell_length - cell_len(right))
    return Content.assemble(left, " " * gap, (right, "$text-success" if saved.best else "$muted"))
