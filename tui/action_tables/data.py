"""What is done with data sets, and to pairs of answers that are judged."""

from __future__ import annotations

from core.i18n import _
from tui.action_tables.action import Action

DATA: tuple[Action, ...] = (
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
)
