"""Every action of the app once: its name, keys, slash command, label and help.

The key bindings, the command palette, the slash commands, the F1 page and the words of a chat (`clear`, `stop`,
`exit`) are renderings of this table, so none of them can promise what another does not do. They keep its order, in
which what is wanted most often comes first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from textual.binding import Binding, BindingType

from core.i18n import _

Scope: TypeAlias = Literal[
    "app",
    "chat",
    "message",
    "train",
    "curves",
    "answers",
    "form",
    "train_form",
    "data",
    "judge",
    "evaluate",
    "evaluation",
    "report",
    "compare",
]
"""app: everywhere; chat: the chat screen; message: on the message that the transcript's cursor is at; train: the
Train screen; curves: where the keyboard is in its curves, answers: in its answers; form: the form of a training or an
evaluation, train_form: of a training alone; data: the Data screen; judge: the judging of pairs; evaluate: the Evaluate
screen, evaluation: the log and facts of one of its runs; report: the rows of one report; compare: a comparison of
reports."""


@dataclass(frozen=True, slots=True)
class Action:
    """One thing a user can do; `name` is the suffix of the `action_…` method that does it."""

    name: str
    label: str
    help: str
    scope: Scope = "chat"
    keys: str = ""
    """Comma separated, in Textual's names."""
    slash: str = ""
    """Without the slash; empty: not reachable by typing."""
    argument: str = ""
    """How the slash command's argument is written: `NAME` needed, `[NAME]` optional, `a|b` a choice, empty: none."""
    completed: bool = False
    """In the palette too, its slash command is put into the input, to be completed."""
    words: tuple[str, ...] = ()
    """Typed alone into the chat, these do it too."""

    def takes_argument(self) -> bool:
        return bool(self.argument)

    def needs_argument(self) -> bool:
        return bool(self.argument) and not self.argument.startswith("[")

    def choices(self) -> list[str]:
        """What the argument can be, if it is one of a few words."""
        return self.argument.strip("[]").split("|") if "|" in self.argument else []


def _keep_actions(scope: Scope, key: str) -> list[Action]:
    label, text = _("Keep column {n}"), _("prefer the answer of column {n}")
    return [
        Action(f"keep_column({n})", label.format(n=n), text.format(n=n), scope, key.format(n=n)) for n in range(1, 5)
    ]


ACTIONS: tuple[Action, ...] = (
    # --- the conversation and its answers ---
    Action("new", _("New conversation"), _("start a new conversation"), keys="ctrl+n", slash="new"),
    Action(
        "retry",
        _("Retry"),
        _("answer the last question anew, as a branch beside the old answer"),
        keys="ctrl+r",
        slash="retry",
    ),
    Action("edit", _("Edit"), _("change the last question; the old one stays as a branch"), slash="edit"),
    Action("stop", _("Stop"), _("end the answer that is being written and keep the part"), words=("stop",)),
    # --- who answers, and how ---
    Action(
        "model",
        _("Choose the model"),
        _("choose who answers: a model, an adapter, or a server's model by its address"),
        keys="ctrl+g",
        slash="model",
        argument="[NAME]",
    ),
    Action(
        "adapter", _("Use an adapter"), _("answer with an adapter of this base model"), slash="adapter", argument="NAME"
    ),
    Action("base", _("Use the base"), _("answer with the base model, without its adapter"), slash="base"),
    Action(
        "compare",
        _("Compare"),
        _("up to four models or adapters side by side; again to leave"),
        keys="ctrl+t",
        slash="compare",
        argument="[NAME …]",
    ),
    Action(
        "keep",
        _("Keep the better one"),
        _("keep a column's answer as preferred: a row of preference data, for stages rm and dpo"),
        slash="keep",
        argument="COLUMN [OVER]",
    ),
    Action(
        "settings",
        _("Settings"),
        _("temperature and the other parameters, and the system prompt"),
        keys="ctrl+s",
        slash="settings",
    ),
    Action(
        "system",
        _("System prompt"),
        _("set the system prompt; alone, remove it"),
        slash="system",
        argument="[TEXT]",
        completed=True,
    ),
    Action(
        "set",
        _("Set a parameter"),
        _("set one parameter, as in /set temperature 0.2"),
        slash="set",
        argument="NAME VALUE",
    ),
    Action("single", _("Single turn"), _("send only the newest question"), slash="single"),
    Action("multi", _("Multi turn"), _("send the whole conversation"), slash="multi"),
    Action(
        "turns",
        _("Single or multi turn"),
        _("switch between sending only the newest question and the whole conversation"),
        keys="f8",
    ),
    # --- what becomes of an answer ---
    Action(
        "copy",
        _("Copy"),
        _("copy the last answer, its code, or the whole conversation"),
        keys="ctrl+y",
        slash="copy",
        argument="[answer|code|all]",
    ),
    Action("rate", _("Rate"), _("mark the last answer as good or bad"), slash="rate", argument="good|bad|none"),
    Action(
        "export",
        _("Export"),
        _("write the conversation as markdown, messages, sharegpt or alpaca"),
        slash="export",
        argument="[FORMAT] [FILE]",
    ),
    Action(
        "dataset",
        _("Append to a data set"),
        _("append the last exchange to a data set of the workspace"),
        slash="dataset",
        argument="NAME",
    ),
    # --- other conversations ---
    Action("sessions", _("Conversations"), _("the list of conversations: search, open, rename, delete"), keys="ctrl+l"),
    Action(
        "resume",
        _("Resume"),
        _("open the last conversation, or the one whose text has these words"),
        slash="resume",
        argument="[WORDS]",
    ),
    Action(
        "save",
        _("Name the conversation"),
        _("give the conversation a title; it is always saved"),
        slash="save",
        argument="TITLE",
    ),
    Action(
        "clear", _("Clear"), _("start afresh; the old conversation stays in the list"), slash="clear", words=("clear",)
    ),
    # --- how it is shown ---
    Action(
        "tokens", _("Exact prompt"), _("the exact prompt the model gets, with its tokens"), keys="f9", slash="tokens"
    ),
    Action("raw", _("Raw text"), _("show the answers as plain text, or formatted again"), slash="raw"),
    Action("thinking", _("Thinking"), _("unfold or fold the model's thinking"), slash="thinking"),
    # --- the app ---
    Action("mode('chat')", _("Chat"), _("go to the chat"), "app", "f2"),
    Action("mode('train')", _("Train"), _("trainings: start them, watch them, use them"), "app", "f3", "train"),
    Action(
        "mode('evaluate')",
        _("Evaluate"),
        _("evaluations: start them, read and compare their reports"),
        "app",
        "f4",
        "eval",
    ),
    Action("mode('data')", _("Data"), _("data sets: look into them, check, search, split them"), "app", "f5", "data"),
    Action("mode('models')", _("Models"), _("models and adapters: list, fetch, remove"), "app", "f6", "models"),
    Action("theme", _("Light or dark"), _("switch between the light and the dark theme"), "app", "", "theme"),
    Action("help", _("Help"), _("keys, slash commands, how things work"), "app", "f1", "help"),
    Action(
        "quit", _("Quit"), _("end finetui; the conversation is kept"), "app", "ctrl+q", "quit", words=("exit", "quit")
    ),
    # --- at the message under the cursor ---
    Action("cursor(-1)", _("Message above"), _("go to the message above"), keys="ctrl+up,alt+up"),
    Action("cursor(1)", _("Message below"), _("go to the message below"), keys="ctrl+down,alt+down"),
    Action("branch(-1)", _("Earlier branch"), _("show the earlier version of this message"), "message", "left,h"),
    Action("branch(1)", _("Later branch"), _("show the later version of this message"), "message", "right,l"),
    Action("retry_here", _("Retry here"), _("answer anew from this message on"), "message", "r"),
    Action("edit_here", _("Edit here"), _("change this question and ask it again"), "message", "e"),
    Action("copy_here", _("Copy message"), _("copy this message"), "message", "y"),
    Action("copy_code", _("Copy code"), _("copy the code blocks of this message"), "message", "c"),
    Action("rate_here('good')", _("Good"), _("mark this answer as good"), "message", "g"),
    Action("rate_here('bad')", _("Bad"), _("mark this answer as bad"), "message", "b"),
    Action("thinking_here", _("Thinking"), _("unfold or fold the thinking"), "message", "t"),
    *_keep_actions("chat", "alt+{n}"),
    *_keep_actions("message", "{n}"),
    # --- the Data screen ---
    Action("page('text')", _("Text"), _("the row as text: who says what"), "data", "1"),
    Action("page('prompt')", _("Prompt"), _("the row as the chat's model gets it in a training"), "data", "2"),
    Action("page('tokens')", _("Tokens"), _("the row's tokens; those that are trained are underlined"), "data", "3"),
    Action("page('lengths')", _("Lengths"), _("how long questions and answers are"), "data", "4"),
    Action("page('classes')", _("Classes"), _("the answers that repeat, and how often"), "data", "5"),
    Action("page('problems')", _("Problems"), _("everything that is wrong with the set"), "data", "6"),
    Action("search", _("Search"), _("find the rows with a text"), "data", "slash"),
    Action("next_match(1)", _("Next"), _("the next row that was found"), "data", "n"),
    Action("next_match(-1)", _("Previous"), _("the row found before"), "data", "N"),
    Action("check", _("Check"), _("look for problems in all rows again"), "data", "c"),
    Action("split", _("Split"), _("split a set into one to train on and one to test with"), "data", "s"),
    Action("train_on", _("Train"), _("train on this set: the form, begun with it"), "data", "t"),
    Action("test_on", _("Evaluate"), _("evaluate on this set: the form, begun with it"), "data", "e"),
    Action("register", _("Enter"), _("enter a file (marked +) in dataset_info.json, as it was guessed"), "data", "a"),
    Action(
        "judge_pairs", _("Judge pairs"), _("two answers to each prompt are drawn, then judged here, blind"), "data", "j"
    ),
    Action("rescan", _("Look again"), _("look at the folder again"), "data", "r"),
    # --- judging pairs of answers ---
    Action("judge('left')", _("Left"), _("the answer on the left is the better one"), "judge", "left,1"),
    Action("judge('right')", _("Right"), _("the answer on the right is the better one"), "judge", "right,2"),
    Action("judge('tie')", _("Both good"), _("both are good: no pair is written"), "judge", "equals_sign,3"),
    Action("judge('bad')", _("Neither"), _("both are bad: no pair is written"), "judge", "0"),
    Action("judge('skip')", _("Skip"), _("no judgement on this pair"), "judge", "s"),
    Action("undo", _("Undo"), _("take the last judgement back"), "judge", "u"),
    Action("leave", _("End"), _("leave; what is judged is kept, and goes on where it was"), "judge", "q,escape"),
    # --- the Train screen ---
    Action("new_run", _("New run"), _("start a training: the form, with its presets and its plan"), "train", "n"),
    Action("page('curves')", _("Curves"), _("the run's curves"), "train", "1"),
    Action("page('log')", _("Log"), _("what the run writes"), "train", "2"),
    Action("page('answers')", _("Answers"), _("the answers to the probe prompts, step by step"), "train", "3"),
    Action("page('checkpoints')", _("Checkpoints"), _("the run's checkpoints, to use them"), "train", "4"),
    Action("page('facts')", _("Facts"), _("everything known about the run"), "train", "5"),
    Action("mark", _("Mark"), _("mark a run: its curves are laid over the others'"), "train", "space"),
    Action("search", _("Search"), _("filter the runs; on the log page: search in it"), "train", "slash"),
    Action("stop_run", _("Stop the run"), _("have the run save and stop"), "train", "x"),
    Action("wish('save')", _("Save now"), _("have the run save a checkpoint now"), "train", "w"),
    Action("wish('evaluate')", _("Evaluate now"), _("have the run look at its evaluation rows now"), "train", "v"),
    Action("resume_run", _("Resume"), _("go on with a run that stopped, from a checkpoint"), "train", "r"),
    Action("duplicate", _("Duplicate"), _("the form, filled in as this run was, to change something"), "train", "c"),
    Action("chat_run", _("Open in chat"), _("the base and this checkpoint, side by side"), "train", "o"),
    Action("export_run", _("Export"), _("merge the adapter into its base, as a model of its own"), "train", "e"),
    Action("delete", _("Delete"), _("delete a run, or on the checkpoints page a checkpoint"), "train", "d"),
    Action("test_run", _("Evaluate it"), _("test what was trained: the form of an evaluation"), "train", "t"),
    Action("smooth", _("Smoothing"), _("draw the smoothed curve over the raw one"), "train", "s"),
    Action("log_scale", _("Log scale"), _("a logarithmic y axis"), "train", "l"),
    Action("metrics", _("Metrics"), _("choose which curves are shown"), "train", "m"),
    Action("zoom(2)", _("Zoom in"), _("look at fewer steps"), "train", "plus,equals_sign"),
    Action("zoom(0.5)", _("Zoom out"), _("look at more steps"), "train", "minus"),
    Action("whole", _("Whole run"), _("look at all steps again"), "train", "0"),
    Action("crosshair(-1)", _("Step before"), _("the values at an earlier step"), "curves", "left"),
    Action("crosshair(1)", _("Step after"), _("the values at a later step"), "curves", "right"),
    Action("pan(-1)", _("Earlier"), _("move what is looked at to earlier steps"), "curves", "shift+left"),
    Action("pan(1)", _("Later"), _("move what is looked at to later steps"), "curves", "shift+right"),
    Action("choose(-1)", _("Curve above"), _("the curve above"), "curves", "up"),
    Action("choose(1)", _("Curve below"), _("the curve below"), "curves", "down"),
    Action("alone", _("Alone"), _("this curve alone, or all again"), "curves", "f,enter"),
    Action("question(-1)", _("Question before"), _("the answers to the question before"), "answers", "left"),
    Action("question(1)", _("Next question"), _("the answers to the next question"), "answers", "right"),
    # --- the form of a training or an evaluation ---
    Action("start_run", _("Start"), _("start what the form says"), "form", "ctrl+r"),
    Action("save_yaml", _("Save as YAML"), _("write the options into a file, for the command"), "form", "ctrl+s"),
    Action("copy_command", _("Copy the command"), _("copy the command that does the same"), "form", "ctrl+y"),
    Action(
        "try_batch", _("Try the longest batch"), _("measure time and memory of one real update"), "train_form", "ctrl+t"
    ),
    Action("find_option", _("Find an option"), _("go to an option by its name"), "form", "ctrl+f"),
    Action("unfold", _("All options"), _("show the options that are seldom said, or fold them"), "form", "ctrl+l"),
    Action("plan", _("Plan"), _("go to the plan, to read on in it, and back"), "form", "ctrl+g"),
    # --- the Evaluate screen ---
    Action("new_evaluation", _("New evaluation"), _("start an evaluation: models × test sets"), "evaluate", "n"),
    Action("open_report", _("Open"), _("read the report, row by row"), "evaluate", "enter"),
    Action("mark", _("Mark"), _("mark a report, to compare it"), "evaluate", "space"),
    Action("compare_reports", _("Compare"), _("compare the marked reports of one test set"), "evaluate", "c"),
    Action("sort(1)", _("Sort"), _("sort by the next column"), "evaluate", "s"),
    Action("sort(-1)", _("Turn the order"), _("sort the other way round"), "evaluate", "S"),
    Action("columns", _("Columns"), _("choose which metrics are shown"), "evaluate", "m"),
    Action("shift(-1)", _("Columns before"), _("the columns to the left"), "evaluate", "left"),
    Action("shift(1)", _("Columns after"), _("the columns to the right"), "evaluate", "right"),
    Action("intervals", _("Intervals"), _("show the 95 % intervals, or hide them"), "evaluate", "i"),
    Action("search", _("Filter"), _("show the reports that have these words"), "evaluate", "slash"),
    Action("run_page('log')", _("Log"), _("what the evaluation writes, and how far it is"), "evaluate", "l"),
    Action("stop_run", _("Stop"), _("have the evaluation keep what it has and stop"), "evaluate", "x"),
    Action("resume_run", _("Resume"), _("go on with an evaluation that ended early"), "evaluate", "r"),
    Action("duplicate", _("Duplicate"), _("the form, filled in as this evaluation was"), "evaluate", "u"),
    Action("export_table", _("Export the table"), _("write the reports shown as csv, md or jsonl"), "evaluate", "e"),
    Action("html", _("HTML report"), _("write a page with everything, for a browser"), "evaluate", "h"),
    Action("copy_command", _("Copy the command"), _("copy the command that evaluates the same"), "evaluate", "y"),
    Action("delete", _("Delete"), _("delete an evaluation with all of its reports"), "evaluate", "d"),
    Action("page('log')", _("Log"), _("what the evaluation writes"), "evaluation", "1,l"),
    Action("page('facts')", _("Facts"), _("everything known about the evaluation"), "evaluation", "2,f"),
    Action("search", _("Search"), _("search in the log"), "evaluation", "slash"),
    # --- a report ---
    Action("page('rows')", _("Rows"), _("the answers, one line each, and one of them whole"), "report", "1"),
    Action("page('classes')", _("Classes"), _("the answers by class; enter shows those of one"), "report", "2"),
    Action("page('kinds')", _("Errors"), _("the answers by what is wrong with them"), "report", "3"),
    Action("page('confusion')", _("Confusion"), _("which class was answered for which"), "report", "4"),
    Action("page('facts')", _("Facts"), _("all numbers, and what they stand on"), "report", "5"),
    Action("search", _("Filter"), _("show the rows that fit: wrong, bleu<20, text:…"), "report", "slash"),
    Action("sort(1)", _("Sort"), _("sort by the next column"), "report", "s"),
    Action("sort(-1)", _("Turn the order"), _("sort the other way round"), "report", "S"),
    Action("sort_by", _("Sort by…"), _("choose the column to sort by"), "report", "c"),
    Action("judge('good')", _("Good"), _("this answer is good; again takes it back"), "report", "g"),
    Action("judge('bad')", _("Bad"), _("this answer is bad; again takes it back"), "report", "b"),
    Action("judge('unsure')", _("Unsure"), _("this answer is hard to judge; again takes it back"), "report", "u"),
    Action("advance", _("Go on after a verdict"), _("whether a verdict goes on to the next row"), "report", "v"),
    Action("note", _("Note"), _("write a note to this answer"), "report", "n"),
    Action("row(-1)", _("Row above"), _("the row above, also from inside one"), "report", "left"),
    Action("row(1)", _("Row below"), _("the row below, also from inside one"), "report", "right"),
    Action("unfold", _("All of it"), _("the whole prompt and the thinking, or fold them"), "report", "t"),
    Action("together", _("In one text"), _("reference and answer as one text, or side by side"), "report", "d"),
    Action("headline", _("Intervals"), _("all numbers with their intervals on top, or fold them"), "report", "i"),
    Action("chat_row", _("Open in chat"), _("ask this question again, base and adapter side by side"), "report", "o"),
    Action("copy_row", _("Copy"), _("copy the question, the reference and the answer"), "report", "y"),
    Action("add_row", _("Add to a data set"), _("put this row into a data set to train on"), "report", "a"),
    Action("export_rows", _("Export"), _("write the rows shown as csv, jsonl, md or html"), "report", "e"),
    # --- a comparison ---
    Action("page('numbers')", _("Numbers"), _("the metrics with their differences"), "compare", "1"),
    Action("page('rows')", _("Rows"), _("the rows that all reports have"), "compare", "2"),
    Action("show_rows('improved')", _("Improved"), _("the rows that became better"), "compare", "i"),
    Action("show_rows('regressed')", _("Regressed"), _("the rows that became worse"), "compare", "r"),
    Action("show_rows('changed')", _("Changed"), _("the rows whose answer is another one"), "compare", "c"),
    Action("show_rows('all')", _("All rows"), _("all rows"), "compare", "a"),
    Action("judge", _("Judged by"), _("choose the metric that says what is better"), "compare", "m"),
    Action("baseline", _("Baseline"), _("compare with another one of them"), "compare", "b"),
    Action("other", _("Another one"), _("of three or more, what became of the rows in the next one"), "compare", "o"),
    Action("shift(-1)", _("Columns before"), _("the columns to the left"), "compare", "left"),
    Action("shift(1)", _("Columns after"), _("the columns to the right"), "compare", "right"),
    Action(
        "open_row", _("Open"), _("on numbers: the rows judged by this metric; on rows: the row"), "compare", "enter"
    ),
    Action("search", _("Filter"), _("show the rows with a text"), "compare", "slash"),
    Action("export_comparison", _("Export"), _("write the comparison as md, csv, json or jsonl"), "compare", "e"),
)


def bindings(scope: Scope) -> list[BindingType]:
    """Textual's bindings of a scope. Those of app, chat, form and judging come before keys of what has the focus."""
    where = "screen." if scope == "message" else ""
    first = scope in ("app", "chat", "form", "train_form", "judge")
    return [
        Binding(action.keys, where + action.name, action.label, show=False, priority=first, tooltip=action.help)
        for action in ACTIONS
        if action.scope == scope and action.keys
    ]


def slash_commands() -> dict[str, Action]:
    """The actions that can be typed, by the word after the slash."""
    return {action.slash: action for action in ACTIONS if action.slash}


def word_actions() -> dict[str, Action]:
    """The actions that a word typed alone does: `clear`, `stop`, `exit`."""
    return {word: action for action in ACTIONS for word in action.words}


def key_name(keys: str) -> str:
    """The first key of a binding as people write it: `ctrl+up`, `F9`."""
    first = keys.split(",")[0]
    return first.upper() if first.startswith("f") and first[1:].isdigit() else first
