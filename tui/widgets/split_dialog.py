"""The question how a data set is to be split; what would be written is told while one types."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Checkbox, Input, Static

from core.i18n import _
from core.untrusted import inert_line
from tui.widgets.dialogs import Dialog
from tui.widgets.inert_inputs import InertInput


@dataclass(frozen=True, slots=True)
class SplitWanted:
    """How a set is to be split."""

    train: int | None
    """None: all that the test leaves."""
    test: int
    stratify: bool
    seed: int
    stem: str


class SplitDialog(Dialog[SplitWanted | None]):
    """Asks for the sizes of two parts.

    Args:
        name: of the set that is split.
        rows: how many it has.
        stem: what the parts' names begin with at first.
        classes: whether its answers repeat, so that there are classes.
        taken: names that sets have already.
    """

    BINDINGS: ClassVar[list[BindingType]] = [("escape", "dismiss(None)")]
    DEFAULT_CSS = """
    SplitDialog Horizontal { height: 1; }
    SplitDialog .split-label { width: 12; color: $text-muted; }
    SplitDialog Input, SplitDialog Input:focus { width: 1fr; background: $panel; }
    SplitDialog Input:focus { background: $primary 25%; }
    SplitDialog Checkbox, SplitDialog Checkbox:focus {
        width: 1fr; height: 1; border: none; padding: 0; background: transparent;
    }
    SplitDialog #split-told { height: 2; margin-top: 1; }
    """

    def __init__(self, name: str, rows: int, stem: str, classes: bool, taken: Collection[str]) -> None:
        super().__init__()
        self._set = name
        self._rows = rows
        self._stem = stem
        self._known_classes = classes
        self._taken = taken

    def compose(self) -> ComposeResult:
        test = min(100, max(1, self._rows // 10))
        train = min(400, self._rows - test)
        with Vertical(classes="dialog-box"):
            yield Static(Content(_("Split {name}").format(name=inert_line(self._set))), classes="dialog-title")
            for key, label, value in (
                ("train", _("train rows"), str(train)),
                ("test", _("test rows"), str(test)),
                ("seed", _("seed"), "42"),
                ("stem", _("name"), inert_line(self._stem)),
            ):
                with Horizontal():
                    yield Static(Content(label), classes="split-label")
                    yield InertInput(value, id=f"split-{key}", select_on_focus=True)
            with Horizontal():
                yield Static(Content(_("classes")), classes="split-label")
                yield Checkbox(_("keep the share of every class"), self._known_classes, id="split-stratify")
            yield Static(Content(""), id="split-told")
            yield Static(Content(_("enter write both · tab next · space ticks · esc leave")), classes="dialog-keys")

    def on_mount(self) -> None:
        self.query_one("#split-train", Input).focus()
        self._tell()

    def _value(self, key: str) -> str:
        return self.query_one(f"#split-{key}", Input).value.strip()

    def _wanted(self) -> SplitWanted | str:
        """What the fields say, or what is wrong with them."""
        numbers: dict[str, int | None] = {"train": None, "test": 0, "seed": 42}
        for key in numbers:
            if text := self._value(key):
                if not text.isascii() or not text.isdigit():
                    return _("{field}: expected a whole number").format(field=key)
                numbers[key] = int(text)
        train, test, seed = numbers["train"], numbers["test"] or 0, numbers["seed"] or 0
        if train == 0 or (train or 1) + test > self._rows:
            return _("the set has {rows:,} rows; at least one is to train on").format(rows=self._rows)
        ticked = self.query_one("#split-stratify", Checkbox).value
        wanted = SplitWanted(train, test, ticked, seed, self._value("stem"))
        if taken := [name for name in self._names(wanted) if name in self._taken]:
            return _("{name} is there already: give another name").format(name=inert_line(taken[0]))
        return wanted

    def _names(self, wanted: SplitWanted) -> list[str]:
        """Of the sets that would be made."""
        stem, train = wanted.stem or self._stem, self._rows - wanted.test if wanted.train is None else wanted.train
        return [f"{stem}_train_{train}", *([f"{stem}_test_{wanted.test}"] if wanted.test else [])]

    @on(Input.Changed)
    @on(Checkbox.Changed)
    def _tell(self) -> None:
        if not self.is_mounted:
            return
        wanted = self._wanted()
        told = self.query_one("#split-told", Static)
        if isinstance(wanted, str):
            told.update(Content.styled(wanted, "$text-error"))
            return
        train = self._rows - wanted.test if wanted.train is None else wanted.train
        text = _("{used:,} of {rows:,} rows: {names}").format(
            used=train + wanted.test, rows=self._rows, names=", ".join(self._names(wanted))
        )
        told.update(Content(inert_line(text)))

    @on(Input.Submitted)
    def _submitted(self) -> None:
        wanted = self._wanted()
        if isinstance(wanted, SplitWanted):
            self.dismiss(wanted)
        else:
            self.app.bell()
