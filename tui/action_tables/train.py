"""What is done with trainings, and in the forms that runs are started by."""

from __future__ import annotations

from core.i18n import _
from tui.action_tables.action import Action

TRAIN: tuple[Action, ...] = (
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
    Action("chat_run", _("Open in chat"), _("base, beginning and this checkpoint, side by side"), "train", "o"),
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
)
