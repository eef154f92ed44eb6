"""The plan beside the form: what the training will be, or what stands against it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from core.errors import Problem
from core.i18n import _, plural
from core.runs.plan import DryStep, Plan
from core.untrusted import inert, inert_line
from tui.plan_text import dry_pairs, plan_pairs

_MOST_PROBLEMS = 20


class PlanPane(VerticalScroll, can_focus=False):
    """Shows one thing at a time, told by whoever plans."""

    DEFAULT_CSS = """
    PlanPane { padding: 0 1; scrollbar-size-vertical: 1; }
    PlanPane Static { width: 100%; height: auto; }
    PlanPane #plan-title { height: 1; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._plan: Plan | None = None
        self._dry: DryStep | None = None
        self._cautions: tuple[Problem, ...] = ()

    def compose(self) -> ComposeResult:
        yield Static(Content(_("Plan")), id="plan-title")
        yield Static(Content(""), id="plan-text")

    def say(self, title: str, text: Content | None = None) -> None:
        """Show a title, and a text below it; without one, what stood there stays."""
        line = Content.assemble((_("Plan"), "bold $text-primary"), "  ", title)
        # While one types, this is told at each key: it must not lay out the whole form anew.
        self.query_one("#plan-title", Static).update(line, layout=False)
        shown = self.query_one("#plan-text", Static)
        if text is not None and text != shown.content:
            shown.update(text)

    def show_problems(self, problems: Sequence[Problem], total: int = 0) -> None:
        """What stands against it."""
        self._plan = self._dry = None
        count = max(total, len(problems))
        lines = [
            Content.assemble(
                (inert_line(problem.where) + "\n" if problem.where else "", "bold"),
                (inert(problem.what), "$text-error"),
                "\n" + inert(problem.hint) if problem.hint else "",
            )
            for problem in problems[:_MOST_PROBLEMS]
        ]
        if count > len(lines):
            lines.append(Content(_("and {n} more").format(n=count - len(lines))))
        self.say(plural("{count} problem", "{count} problems", count), Content("\n\n").join(lines))

    def show_plan(self, plan: Plan, cautions: Iterable[Problem]) -> None:
        """What the training will be."""
        self._plan, self._dry = plan, None
        self._cautions = (*cautions, *plan.warnings)
        self._show()

    def show_dry(self, dry: DryStep) -> None:
        """What the longest batch came to, above the plan."""
        self._dry = dry
        self._show()

    def show_pairs(self, pairs: Sequence[tuple[str, str]], cautions: Sequence[Problem]) -> None:
        """What it will be, as labels and values."""
        self._plan = self._dry = None
        self._tell(pairs, cautions)

    def _show(self) -> None:
        pairs = [*(dry_pairs(self._dry) if self._dry else ()), *(plan_pairs(self._plan) if self._plan else ())]
        self._tell(pairs, self._cautions)

    def _tell(self, pairs: Sequence[tuple[str, str]], cautions: Sequence[Problem]) -> None:
        warnings = [
            Content.assemble(
                ("! ", "bold $text-warning"),
                inert_line(f"{found.where}: {found.what}" if found.where else found.what),
                ("\n  " + inert_line(found.hint) if found.hint else "", "$muted"),
            )
            for found in cautions
        ]
        told = [Content.assemble((label + "\n", "$muted"), inert(value)) for label, value in pairs]
        self.say(
            plural("{count} warning", "{count} warnings", len(warnings)) if warnings else _("it can start"),
            Content("\n").join([*warnings, *([Content("")] if warnings else []), *told]),
        )
