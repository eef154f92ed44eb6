"""`finetui data preferences`: two answers to each prompt, judged by a person or by a reward model, as a data set.

Whatever ends it, the same command goes on: answers are drawn by a run that does not notice, judgements are kept one by
one, and the set is written anew out of them each time.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer
from pydantic import Field

from core.config.fields import Section, Shown
from core.config.load import Settings
from core.errors import DataError, RunError, UsageError
from core.i18n import _, plural
from core.judging.options import JUDGING, JudgingOptions, PromptOptions
from core.untrusted import inert_line
from core.workspace import find_workspace
from tui.cli.console import Progress, note, print_json
from tui.cli.importing import resolve
from tui.cli.options import OptionsVerb

if TYPE_CHECKING:
    from core.judging.drawing import Drawing
    from core.judging.folder import Judging
    from core.judging.summary import Summary
    from core.judging.verdicts import VerdictBook
    from core.runs.rundir import RunDirectory

NAME = "preferences"
HELP = _("Draw two answers to each prompt, have them judged, and keep the pairs as a data set.")
_APP = "tui.judge_app:judge"


class PairsFileOptions(Section):
    """Where the other options may stand."""

    title: ClassVar[str] = "Options from files"

    config: Annotated[str | None, Shown("FILE"), Field(min_length=1)] = None
    """A YAML or JSON file of options; it may also stand alone, without `--config`. What is typed wins over it."""


def run(words: Sequence[str]) -> int:
    """Run the verb with the words behind it; returns its exit code."""
    root = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    root.callback()(lambda: None)  # a verb by its name even though there is one alone
    preferences.register(root, NAME, HELP)
    words = ["--yes" if word == "-y" else "--help" if word == "-h" else word for word in words]
    code = typer.main.get_command(root).main([NAME, *words], prog_name="finetui data", standalone_mode=False)
    return code if isinstance(code, int) else 0


def _preferences(settings: Settings) -> int:
    from core.judging.opening import has_verdicts, open_judging  # launching and reports, 150 ms: help does without
    from core.judging.verdicts import VerdictBook
    from core.judging.writing import write_preferences

    options, workspace = settings[JudgingOptions], find_workspace()
    if options.overwrite and not options.yes and _at_terminal() and has_verdicts(settings, workspace):
        typer.confirm(_("Forget the judgements that are kept under this name?"), abort=True, err=True)
    judging = open_judging(settings, workspace)
    if code := _draw(judging):
        return code
    if not judging.pairs():
        what = _("{name}: no prompt got two answers that differ").format(name=inert_line(judging.name))
        raise DataError(what, _("give a higher temperature or another seed, with --overwrite"))
    book = VerdictBook(judging.verdicts, judging.seed)
    _judge(judging, book)
    rows = write_preferences(judging, book.latest)
    _tell(judging, book, rows)
    return 0


# --- drawing -----------------------------------------------------------------------------------------------------


def _draw(judging: Judging) -> int:
    """Wait until all answers are drawn; returns what to exit with where they are not."""
    from core.judging.drawing import go_on_drawing

    while (drawing := go_on_drawing(judging)) is not None:
        progress = Progress()
        note(_("run {name} draws the answers; ctrl+c leaves it running").format(name=inert_line(drawing.name)))
        try:
            ended = _watch(drawing, progress)
        except KeyboardInterrupt:
            progress.clear()
            note(_("the answers go on being drawn; judge them with: {command}").format(command=_again(judging)))
            return 130
        progress.clear()
        if not ended:
            note(_("stopped; go on with: {command}").format(command=_again(judging)))
            return 1
    return 0


def _watch(drawing: RunDirectory, progress: Progress) -> bool:
    """Tell how far a run is until it ends; whether it has drawn everything.

    Raises:
        RunError: it failed, or was lost.
    """
    from core.runs.events import Answered, Queued, RunFailed, RunFinished, StageChanged, Warned
    from core.runs.told import answer_rate, clock
    from core.runs.watch import follow

    last: Any = None
    for last in follow(drawing):
        match last:
            case Queued(device=device, holder=holder):
                progress.show(_("waiting for {device}, which {holder} has").format(device=device, holder=holder))
            case StageChanged(stage="loading"):
                progress.show(_("loading the model"))
            case Answered() if last.done:
                told = _("{done} / {total}  {speed:.1f} answers/s  ETA {eta}")
                counts = {"done": f"{last.done:,}", "total": f"{last.total:,}", "speed": answer_rate(last)}
                progress.show(_("drawing answers"), told.format(**counts, eta=clock(last.remaining)))
            case Warned(message=message):
                progress.clear()
                note(_("warning: {text}").format(text=inert_line(message)))
    if isinstance(last, RunFailed):
        raise RunError(f"{inert_line(drawing.name)}: {last.error}", last.hint)
    if not isinstance(last, RunFinished):
        what = _("the run {name} was lost: its supervisor is gone").format(name=inert_line(drawing.name))
        raise RunError(what, _("the same command goes on where it was"))
    return last.reason == "completed"


# --- judging -----------------------------------------------------------------------------------------------------


def _judge(judging: Judging, book: VerdictBook) -> None:
    who = judging.options.judge
    if who == "auto":
        by_person = _at_terminal() and not judging.options.json_records
        who = "reward" if judging.options.reward_model is not None else "app" if by_person else "nobody"
    if who == "reward":
        from core.judging.rewarding import judge_by_reward

        judge_by_reward(judging, book)
    elif who == "app" and len(book.latest) < len(judging.pairs()):
        if not _at_terminal():
            hint = _("judge on a terminal, or on the Data screen of the app (F5, j)")
            raise UsageError(_("a person judges on a terminal, and this is none"), hint)
        resolve(_APP)(judging, book)


def _at_terminal() -> bool:
    """Whether a person sits there."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def _tell(judging: Judging, book: VerdictBook, rows: int) -> None:
    from core.judging.drawing import read_drawing
    from core.judging.summary import summary, summary_lines

    found, drawing = summary(judging.pairs(), book.latest, judging.options.min_margin), read_drawing(judging)
    if judging.options.json_records:
        print_json(_record(judging, found, drawing, rows))
        return
    for line in summary_lines(found, drawing):
        print(line)
    name = inert_line(judging.name)
    if rows:
        counted = plural("{count} row", "{count} rows", rows)
        print(_("{rows} in {path}").format(rows=counted, path=inert_line(str(judging.written))))
        note(_("train a reward model on them: finetui train --stage rm --dataset {name}").format(name=name))
    if found.judged < found.pairs:
        note(_("judge the others with: {command}").format(command=_again(judging)))


def _record(judging: Judging, found: Summary, drawing: Drawing, rows: int) -> dict[str, Any]:
    """What came out, for scripts."""
    shares = {"left": found.left, "longer": found.longer, "agreement": found.agreement}
    return {
        "dataset": judging.name,
        "path": str(judging.written),
        "rows": rows,
        "prompts": drawing.prompts,
        "alike": drawing.alike,
        "lacking": drawing.lacking,
        "left_out": drawing.left_out,
        "pairs": found.pairs,
        "judged": found.judged,
        "verdicts": dict(found.verdicts),
        "wins": {name: {"count": share.count, "of": share.of} for name, share in found.wins.items()},
        **{name: {"count": share.count, "of": share.of} for name, share in shares.items() if share is not None},
    }


def _again(judging: Judging) -> str:
    """The command that goes on."""
    folder = judging.settings[PromptOptions].dataset_dir
    words = ["--dataset_dir", folder] if folder != PromptOptions.model_fields["dataset_dir"].default else []
    return inert_line(shlex.join(["finetui", "data", NAME, "--output", judging.name, *words]))


_ABOUT = _("Stands a judging halfway, the same --output goes on with it; answers and judgements are kept.")
preferences = OptionsVerb(_preferences, (*JUDGING, PairsFileOptions), _ABOUT, words="[MODEL…] [FILE.yaml]")
