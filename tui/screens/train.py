"""F3: the trainings. Runs on the left, the pages of the highlighted one in the middle, its facts on the right.

The screen shows what the app's `RunWatcher` knows and asks nothing of the disk itself, but for the log. What came is
drawn once a second at most. Below 100 columns there is one pane at a time: the list, or with enter the run.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.timer import Timer
from textual.widgets import ContentSwitcher, Input, OptionList, Static
from textual.widgets.option_list import Option

from core.i18n import _, plural
from core.runs.events import CheckpointSaved
from core.untrusted import inert_line
from core.workspace import Workspace, load_state
from tui.actions import bindings
from tui.run_watcher import RunWatcher, Watched
from tui.screens.metrics import MetricsDialog
from tui.screens.run_actions import RunActions
from tui.widgets.curves_pane import CurvesPane, ShownRun, metrics_of
from tui.widgets.inert_inputs import InertInput
from tui.widgets.log_page import LogPage
from tui.widgets.log_view import LogView
from tui.widgets.run_pages import AnswersPage, CheckpointsPage
from tui.widgets.run_rows import STAGES, facts, progress_line, row_content
from tui.widgets.status_bar import SharedStatusBar

_WIDE = 100
_LIST, _FACTS = 30, 34
_DRAW_SECONDS = 1.0
_LETTERS = "ABCDEF"
PAGES = {
    "curves": _("curves"),
    "log": _("log"),
    "answers": _("answers"),
    "checkpoints": _("checkpoints"),
    "facts": _("facts"),
}


class FactsPane(VerticalScroll, can_focus=True):
    """Everything known about a run."""

    DEFAULT_CSS = """
    FactsPane { padding: 0 1; scrollbar-size-vertical: 1; }
    FactsPane Static { width: 100%; height: auto; margin: 0 0 1 0; }
    """

    def show(self, text: Content) -> None:
        """Show a text, block by block: those that stay the same are not sent again."""
        blocks = text.split("\n\n")
        shown = list(self.query(Static))
        while len(shown) > len(blocks):
            shown.pop().remove()
        for block, text_of in enumerate(blocks):
            if block >= len(shown):
                self.mount(Static(text_of))
            else:
                _tell_block(shown[block], text_of)


def _tell_block(shown: Static, text: Content) -> None:
    """Show another text; it is laid out anew only when it needs another number of rows."""
    width = max(1, shown.size.width)
    before = shown.content
    if text != before:
        shown.update(text, layout=not (isinstance(before, Content) and _rows(before, width) == _rows(text, width)))


def _rows(text: Content, width: int) -> list[int]:
    return [-(-line.cell_length // width) for line in text.split("\n")]


def _tell_line(line: Static, text: Content) -> None:
    """Show something in a line of a fixed height: nothing is sent when it is the same."""
    if text != line.content:
        line.update(text, layout=False)


class TrainScreen(RunActions):
    """Lists runs and shows them."""

    AUTO_FOCUS = ""  # Textual's choice, back from the form, would be the filter, which may be hidden
    SCOPES: ClassVar[tuple[str, ...]] = ("train", "curves")
    """Of the actions that the palette offers here."""
    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings("train"),
        Binding("escape", "back", _("Back"), show=False),
    ]
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (_WIDE, "-wide")]  # noqa: RUF012  Textual declares no class variable
    DEFAULT_CSS = f"""
    TrainScreen #train-body {{ height: 1fr; }}
    TrainScreen #train-list {{ width: {_LIST}; background: $surface; }}
    TrainScreen #train-title {{ height: 1; padding: 0 1; }}
    TrainScreen #train-filter {{ display: none; height: 1; border: none; padding: 0 1; background: $boost; }}
    TrainScreen #train-runs, TrainScreen #train-runs:focus {{
        height: 1fr; border: none; padding: 0; background: transparent; scrollbar-size-vertical: 1;
        & > .option-list--option {{ padding: 0; }}
        & > .option-list--option-highlighted {{ background: $primary 15%; color: $text; text-style: none; }}
    }}
    TrainScreen #train-runs:focus > .option-list--option-highlighted {{ background: $primary 25%; }}
    TrainScreen #train-none {{ display: none; height: 1fr; padding: 1 2; color: $text-muted; }}
    TrainScreen #train-run {{ width: 1fr; }}
    TrainScreen #train-head, TrainScreen #train-tabs {{ height: 1; padding: 0 1; }}
    TrainScreen #train-tabs {{ color: $text-muted; }}
    TrainScreen ContentSwitcher {{ height: 1fr; }}
    TrainScreen #train-facts {{ width: {_FACTS}; border-left: solid $panel; }}
    TrainScreen #train-keys {{ height: 1; padding: 0 1; background: $panel; color: $text-muted; }}
    TrainScreen.-narrow #train-facts {{ display: none; }}
    TrainScreen.-narrow #train-list {{ width: 1fr; background: transparent; }}
    TrainScreen.-narrow #train-run {{ display: none; }}
    TrainScreen.-narrow.-inside #train-run {{ display: block; }}
    TrainScreen.-narrow.-inside #train-list {{ display: none; }}
    """

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        self._shown: list[Path] = []
        self._prompts: dict[Path, Content] = {}
        self._marked: list[Path] = []
        self._awaited: Path | None = None
        """A run that was just started, to be highlighted once it is listed."""
        self._drawn_at = 0.0
        self._draw_timer: Timer | None = None
        self._unsubscribe: Callable[[], None] = lambda: None

    @property
    def watcher(self) -> RunWatcher:
        watcher = getattr(self.app, "watcher", None)
        assert isinstance(watcher, RunWatcher)
        return watcher

    def compose(self) -> ComposeResult:
        kept = load_state(self.workspace).get("curves")
        kept = kept if isinstance(kept, dict) else {}
        metrics = [name for name in kept.get("metrics") or () if isinstance(name, str)]
        with Horizontal(id="train-body"):
            with Vertical(id="train-list"):
                yield Static(Content(_("Runs")), id="train-title")
                yield InertInput(placeholder=_("filter by name"), id="train-filter")
                yield OptionList(markup=False, id="train-runs")
            with Vertical(id="train-run"):
                yield Static(Content(""), id="train-head")
                yield Static(Content(""), id="train-tabs")
                with ContentSwitcher(initial="curves"):
                    with Vertical(id="curves"):
                        yield CurvesPane(metrics, smooth=kept.get("smooth") is not False, log=kept.get("log") is True)
                    with Vertical(id="log"):
                        yield LogPage()
                    with Vertical(id="answers"):
                        yield AnswersPage()
                    with Vertical(id="checkpoints"):
                        yield CheckpointsPage()
                    with Vertical(id="facts"):
                        yield FactsPane()
            yield FactsPane(id="train-facts")
        yield Static(Content(""), id="train-none")
        yield Static(Content(""), id="train-keys")
        yield SharedStatusBar()

    def on_mount(self) -> None:
        self._unsubscribe = self.watcher.subscribe(self._runs_changed)
        self.query_one("#train-runs").focus()
        self.watcher.look_again()
        self.call_after_refresh(self._list_runs)

    def on_unmount(self) -> None:
        self._unsubscribe()

    def on_screen_resume(self) -> None:
        self.watcher.look_again()

    @on(events.Resize)
    def _resized(self) -> None:
        self.call_after_refresh(self._list_runs)

    # --- what the watcher tells ---

    def _runs_changed(self, listed: bool) -> None:
        if not self.is_mounted:
            return
        if listed:
            self._list_runs()
        elif self._draw_timer is None:
            wait = max(0.01, _DRAW_SECONDS - (time.monotonic() - self._drawn_at))
            self._draw_timer = self.set_timer(wait, self._draw)

    def _draw(self) -> None:
        self._draw_timer, self._drawn_at = None, time.monotonic()
        self._renew_rows()
        self._tell_title()
        self._show_run()

    # --- the list ---

    def _ordered(self) -> list[Watched]:
        """Those that go on first, then the newest."""
        words = self.query_one("#train-filter", Input).value.casefold().split()
        found = [watched for watched in reversed(self.watcher.runs.values()) if _has(watched, words)]
        return sorted(found, key=lambda watched: not watched.active)

    def _list_runs(self) -> None:
        listed = self.query_one("#train-runs", OptionList)
        runs = self._ordered()
        paths = [watched.run.path for watched in runs]
        self._marked = [path for path in self._marked if path in self.watcher.runs]
        if paths != self._shown or not listed.option_count:
            before = self.current.run.path if self.current else self.watcher.selected
            if self._awaited in paths:
                before, self._awaited = self._awaited, None
            self._shown, self._prompts = paths, {}
            listed.clear_options()
            listed.add_options(Option(self._prompt(watched)) for watched in runs)
            listed.highlighted = paths.index(before) if before in paths else (0 if paths else None)
        else:
            self._renew_rows()
        self._tell_title()
        self._tell_none()
        self._show_run()

    def _renew_rows(self) -> None:
        """Write anew the rows that say something else now."""
        listed = self.query_one("#train-runs", OptionList)
        for index, path in enumerate(self._shown):
            watched = self.watcher.runs.get(path)
            before = self._prompts.get(path)
            if watched is not None and self._prompt(watched) != before:
                listed.replace_option_prompt_at_index(index, self._prompts[path])

    def _prompt(self, watched: Watched) -> Content:
        path = watched.run.path
        width = (self.size.width if self.has_class("-narrow") else _LIST) - 2
        self._prompts[path] = row_content(watched, self.letters.get(path, ""), width)
        return self._prompts[path]

    def _tell_title(self) -> None:
        active = len(self.watcher.active)
        said = plural("{count} running", "{count} running", active) if active else ""
        title = Content.assemble((_("Runs"), "bold"), (f"  {len(self.watcher.runs)}", "$muted"), "  ", said)
        _tell_line(self.query_one("#train-title", Static), title)

    def _tell_none(self) -> None:
        """Where there is no run, say how to get one."""
        none = self.query_one("#train-none", Static)
        empty = self.watcher.scanned and not self.watcher.runs
        none.display = empty
        self.query_one("#train-body").display = not empty
        if not empty and self.focused is None:  # what is hidden loses the keyboard
            self.query_one("#train-runs").focus()
        if empty:
            where = inert_line(str(self.workspace.runs))
            none.update(Content(_("No training yet in {folder}.\n\nn starts one.").format(folder=where)))

    @property
    def current(self) -> Watched | None:
        """The run that the keys act on."""
        index = self.query_one("#train-runs", OptionList).highlighted
        if index is None or index >= len(self._shown):
            return None
        return self.watcher.runs.get(self._shown[index])

    def go_to_run(self, run: Path) -> None:
        if run in self._shown:
            self.query_one("#train-runs", OptionList).highlighted = self._shown.index(run)
        else:
            self._awaited = run

    @property
    def checkpoint(self) -> CheckpointSaved | None:
        """The checkpoint that the keys act on, on the page of checkpoints."""
        return self.query_one(CheckpointsPage).current if self.page == "checkpoints" else None

    @property
    def letters(self) -> dict[Path, str]:
        """Of the runs whose curves are laid over one another."""
        if not self._marked:
            return {}
        here = self.current.run.path if self.current else self._marked[0]
        return dict(zip(dict.fromkeys([*self._marked, here]), _LETTERS, strict=False))

    @on(OptionList.OptionHighlighted, "#train-runs")
    def _highlighted(self) -> None:
        watched = self.current
        if watched is not None:
            self.watcher.selected = watched.run.path
            self.watcher.want(watched.run.path)
        self._renew_rows()
        self._show_run()

    @on(OptionList.OptionSelected, "#train-runs")
    def _opened(self) -> None:
        self.add_class("-inside")
        self.call_after_refresh(self._focus_page)

    def action_mark(self) -> None:
        """Lay this run's curves over the others', or take them away."""
        watched = self.current
        if watched is None:
            return
        path = watched.run.path
        if path in self._marked:
            self._marked.remove(path)
        elif len(self._marked) < len(_LETTERS):
            self._marked.append(path)
            self.watcher.want(path)
        else:
            self.notify(_("{n} runs at once are the most.").format(n=len(_LETTERS)), severity="warning")
        self._draw()

    # --- the run ---

    @property
    def page(self) -> str:
        return self.query_one(ContentSwitcher).current or "curves"

    def _show_run(self) -> None:
        """Show the page of the current run as it is now."""
        watched = self.current
        self._tell_keys(watched)
        if watched is None:
            return
        width = max(10, self.query_one("#train-run").size.width - 2)
        _tell_line(self.query_one("#train-head", Static), progress_line(watched, width))
        self._tell_tabs(watched)
        match self.page:
            case "curves":
                self.query_one(CurvesPane).show(self._overlaid(watched), _waiting(watched))
            case "log":
                self.query_one(LogPage).show(watched.run.log)
            case "answers":
                self.query_one(AnswersPage).show(watched.history)
            case "checkpoints":
                self.query_one(CheckpointsPage).show(watched.history)
            case _facts:
                pass
        pane = "#facts FactsPane" if self.has_class("-narrow") else "#train-facts"
        self.query_one(pane, FactsPane).show(facts(watched, _FACTS - 4))

    def _overlaid(self, watched: Watched) -> list[ShownRun]:
        """The marked runs and this one."""
        letters = self.letters or {watched.run.path: _LETTERS[0]}
        runs = [(self.watcher.runs[path], letter) for path, letter in letters.items() if path in self.watcher.runs]
        return [ShownRun(run.name, letter, run.history, run.active) for run, letter in runs if run.history is not None]

    def _tell_tabs(self, watched: Watched) -> None:
        history = watched.history
        counts = {"checkpoints": len(history.checkpoints), "answers": len(history.samples)} if history else {}
        parts: list[Content] = []
        for number, (page, name) in enumerate(PAGES.items(), start=1):
            if page == "facts" and not self.has_class("-narrow"):
                continue
            told = f"{number} {name}" + (f" {counts[page]}" if counts.get(page) else "")
            parts.append(Content.styled(told, "bold underline $text" if page == self.page else ""))
        _tell_line(self.query_one("#train-tabs", Static), Content("   ").join(parts))

    def action_page(self, page: str) -> None:
        if self.current is None:
            return
        if page == "facts" and not self.has_class("-narrow"):
            self.query_one("#train-facts").focus()
            return
        inside = self.has_class("-narrow") or not self.query_one("#train-runs").has_focus
        self.add_class("-inside")
        self.query_one(ContentSwitcher).current = page
        self._show_run()
        if inside:
            self.call_after_refresh(self._focus_page)

    def _focus_page(self) -> None:
        pages: dict[str, Any] = {
            "curves": CurvesPane,
            "log": LogView,
            "answers": AnswersPage,
            "checkpoints": CheckpointsPage,
            "facts": "#facts FactsPane",
        }
        self.query_one(pages[self.page]).focus()

    # --- filter, search, back ---

    def action_search(self) -> None:
        if self.page == "log" and not self.query_one("#train-list").has_focus_within:
            self.query_one(LogPage).search()
            return
        self.remove_class("-inside")
        line = self.query_one("#train-filter", Input)
        line.display = True
        line.focus()

    @on(Input.Changed, "#train-filter")
    def _filtered(self) -> None:
        self._list_runs()

    @on(Input.Submitted, "#train-filter")
    def _filter_kept(self) -> None:
        self.query_one("#train-runs").focus()

    def action_back(self) -> None:
        """One step: out of the page, out of the filter, back to the chat."""
        line = self.query_one("#train-filter", Input)
        narrow_inside = self.has_class("-narrow") and self.has_class("-inside")
        if narrow_inside or self.query("#train-run:focus-within, #train-facts:focus"):
            self.remove_class("-inside")
            self.call_after_refresh(self.query_one("#train-runs").focus)
        elif line.display:
            line.value = ""
            line.display = False
            self.query_one("#train-runs").focus()
        else:
            self.app.pop_screen()

    # --- how curves are drawn ---

    def action_smooth(self) -> None:
        self.query_one(CurvesPane).toggle("smooth")

    def action_log_scale(self) -> None:
        self.query_one(CurvesPane).toggle("log")

    def action_zoom(self, factor: float) -> None:
        self.query_one(CurvesPane).zoom(factor)

    def action_whole(self) -> None:
        self.query_one(CurvesPane).whole()

    def action_metrics(self) -> None:
        """Choose which curves are shown."""
        pane = self.query_one(CurvesPane)
        there = metrics_of(pane.runs)

        def chosen(metrics: list[str] | None) -> None:
            if metrics is not None:
                pane.metrics = tuple(metrics)
                self._curves_drawn()
                self._show_run()

        if there:
            self.app.push_screen(MetricsDialog(there, pane.metrics), chosen)

    @on(CurvesPane.Drawn)
    def _curves_drawn(self) -> None:
        pane = self.query_one(CurvesPane)
        kept = {"smooth": pane.view.smooth, "log": pane.view.log, "metrics": list(pane.metrics)}
        self.remember(curves=kept)

    # --- the line of keys ---

    @on(events.DescendantFocus)
    def _focus_moved(self) -> None:
        self._tell_keys(self.current)

    def _tell_keys(self, watched: Watched | None) -> None:
        keys = [_("n new")]
        if watched is not None:
            keys = [*self._place_keys(), *self._run_keys(watched), *keys]
        kept = Content("  ").join(map(Content, [*keys, _("esc back"), _("F1 all keys")]))
        width = max(1, self.size.width - 2)
        _tell_line(self.query_one("#train-keys", Static), kept.truncate(width, ellipsis=True))

    def _place_keys(self) -> list[str]:
        if self.query_one("#train-runs").has_focus:
            return [_("enter open"), _("space overlay")]
        match self.page:
            case "curves":
                return [_("←→ step"), _("+- zoom"), _("s smooth"), _("l log"), _("m metrics"), _("f alone")]
            case "log":
                return [_("/ search")]
            case _other:
                return []

    def _run_keys(self, watched: Watched) -> list[str]:
        if watched.active:
            return [_("x stop"), _("w save"), _("v evaluate"), _("o chat")]
        resume = [] if watched.state == "finished" and self.page != "checkpoints" else [_("r resume")]
        return [_("o chat"), *resume, _("c duplicate"), _("e export"), _("d delete")]


def _has(watched: Watched, words: list[str]) -> bool:
    text = f"{watched.name} {watched.summary.model} {watched.summary.method} {watched.summary.dataset}".casefold()
    return all(word in text for word in words)


def _waiting(watched: Watched) -> str:
    """What stands where there is no curve yet."""
    history = watched.history
    if history is None:
        return _("reading…")
    if watched.state == "queued":
        return _("It waits for its turn: another run has the device.")
    if watched.active:
        return STAGES[history.stage.stage] if history.stage else STAGES["importing"]
    return _("This run has no curve: it ended before its first step.")
