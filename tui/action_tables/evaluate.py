"""What is done with evaluations, with a report, and with several reports."""

from __future__ import annotations

from core.i18n import _
from tui.action_tables.action import Action

EVALUATE: tuple[Action, ...] = (
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
