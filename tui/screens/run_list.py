"""The list of the Train screen: which runs are shown, which one is meant, which are laid over one another."""

from __future__ import annotations

from pathlib import Path

from textual import on
from textual.content import Content
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from core.i18n import _, plural
from core.untrusted import inert_line
from core.workspace import Workspace
from tui.run_watcher import Watched
from tui.screens.run_actions import RunActions
from tui.widgets.facts_pane import tell_line
from tui.widgets.live_options import LiveOptions
from tui.widgets.run_rows import row_content

LIST_CELLS = 30
LETTERS = "ABCDEF"


class ListedRuns(RunActions):
    """Runs in rows. What is highlighted is what the keys act on."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        self._shown: list[Path] = []
        self._prompts: dict[Path, Content] = {}
        self._marked: list[Path] = []
        self._awaited: Path | None = None
        """A run that was just started, to be highlighted once it is listed."""

    def _focus_page(self) -> None:
        raise NotImplementedError

    def _draw(self) -> None:
        """Show everything as it is now."""
        raise NotImplementedError

    def _ordered(self) -> list[Watched]:
        """Those that go on first, then the newest."""
        words = self.query_one("#train-filter", Input).value.casefold().split()
        found = [watched for watched in reversed(self.watcher.trainings.values()) if _has(watched, words)]
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
        listed = self.query_one("#train-runs", LiveOptions)
        for index, path in enumerate(self._shown):
            watched = self.watcher.runs.get(path)
            before = self._prompts.get(path)
            if watched is not None and self._prompt(watched) != before:
                listed.renew(index, self._prompts[path])

    def _prompt(self, watched: Watched) -> Content:
        path = watched.run.path
        width = (self.size.width if self.has_class("-narrow") else LIST_CELLS) - 2
        self._prompts[path] = row_content(watched, self.letters.get(path, ""), width)
        return self._prompts[path]

    def _tell_title(self) -> None:
        trainings = self.watcher.trainings
        active = sum(watched.active for watched in trainings.values())
        said = plural("{count} running", "{count} running", active) if active else ""
        title = Content.assemble((_("Runs"), "bold"), (f"  {len(trainings)}", "$muted"), "  ", said)
        tell_line(self.query_one("#train-title", Static), title)

    def _tell_none(self) -> None:
        """Where there is no run, say how to get one."""
        none = self.query_one("#train-none", Static)
        empty = self.watcher.scanned and not self.watcher.trainings
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
    def letters(self) -> dict[Path, str]:
        """Of the runs whose curves are laid over one another."""
        if not self._marked:
            return {}
        here = self.current.run.path if self.current else self._marked[0]
        return dict(zip(dict.fromkeys([*self._marked, here]), LETTERS, strict=False))

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
        elif len(self._marked) < len(LETTERS):
            self._marked.append(path)
            self.watcher.want(path)
        else:
            self.notify(_("{n} runs at once are the most.").format(n=len(LETTERS)), severity="warning")
        self._draw()


def _has(watched: Watched, words: list[str]) -> bool:
    text = f"{watched.name} {watched.summary.model} {watched.summary.method} {watched.summary.dataset}".casefold()
    return all(word in text for word in words)
