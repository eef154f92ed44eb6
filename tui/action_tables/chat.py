"""What is done in the chat and to its messages, and what is done anywhere."""

from __future__ import annotations

from core.i18n import _
from tui.action_tables.action import Action, Scope


def _keep_actions(scope: Scope, key: str) -> list[Action]:
    label, text = _("Keep column {n}"), _("prefer the answer of column {n}")
    return [
        Action(f"keep_column({n})", label.format(n=n), text.format(n=n), scope, key.format(n=n)) for n in range(1, 5)
    ]


CHAT: tuple[Action, ...] = (
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
)
