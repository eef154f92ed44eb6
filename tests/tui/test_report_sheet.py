"""One answer in full, its differences, and the lines of the list, for the widths of terminals."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from report_folders import SET, make_report, rows
from rich.cells import cell_len
from textual.content import Content

from core.metrics.metric import ClassScore, Confusion, Value
from core.report.asked import AskedRows
from core.report.difference import difference
from core.report.prediction import Prediction
from core.report.report import EvaluatedSet, Report, Subject
from core.workspace import Workspace
from tui.actions import ACTIONS
from tui.screens.report import ReportScreen
from tui.widgets.content_layout import beside, column_width, wrapped
from tui.widgets.diff_view import ADDED, REMOVED, answer_content, one_text, reference_content
from tui.widgets.report_columns import ColumnLayout, ReportTable, ScoreColumn, shared_ends
from tui.widgets.report_filter import completed
from tui.widgets.report_groups import confusion_lines
from tui.widgets.report_numbers import numbers_lines
from tui.widgets.report_sheet import Sheet, sheet_content

LONG = "这是一个很长的回答，with some English words in it，" * 12


def sheet(**changes: object) -> Sheet:
    prediction = Prediction("<|user|>问？", "开通费用_2", "开通方式_2", id="x:1", finish_reason="length", tokens=5)
    prediction = dataclasses.replace(prediction, **{k: v for k, v in changes.items() if hasattr(prediction, k)})  # type: ignore[arg-type]
    others = {k: v for k, v in changes.items() if not hasattr(prediction, k)}
    pieces = difference(prediction.label, prediction.predict)
    return Sheet(prediction, pieces, right=False, **others)  # type: ignore[arg-type]


def test_of_a_pair_both_answers_are_shown_with_their_scores() -> None:
    shown = sheet(label="better text", worse="worse text", predict="worse text", chosen=0.5, rejected=1.25)
    wide = lines(shown, 110)
    assert any("✗ the better one is not ahead  margin -0.75" in line for line in wide)
    (heads,) = [line for line in wide if "better answer" in line]
    assert "better answer  0.5 · 11 characters" in heads
    assert "worse answer  1.25 · ← ahead · 10 characters" in heads
    assert any("better text" in line and "worse text" in line for line in wide)
    narrow = lines(shown, 60)
    assert narrow.index("better text") < narrow.index("worse text")
    assert not any("reference" in line for line in narrow)


def lines(shown: Sheet, width: int) -> list[str]:
    return sheet_content(shown, width).plain.split("\n")


@pytest.mark.parametrize("width", [20, 40, 76, 96, 116, 200])
def test_a_sheet_is_never_wider_than_its_pane(width: int) -> None:
    shown = sheet(predict=LONG, label=LONG[::-1], choice={"A": 0.25, "B": 0.75}, thinking=LONG, prompt=LONG)
    for each in (shown, dataclasses.replace(shown, together=True, unfolded=True)):
        for line in lines(each, width):
            wide = line.startswith(("▎", "A ", "B "))  # titles and bars are cut by the pane
            assert wide or cell_len(line) <= width, line


def test_reference_and_answer_stand_side_by_side_where_there_is_room() -> None:
    both = next(line for line in lines(sheet(), 116) if "开通方式_2" in line)
    assert "│ 开通费用_2" in both
    apart = lines(sheet(), 76)
    assert "开通方式_2" in apart
    assert "开通费用_2" in apart
    assert apart.index("开通方式_2") < apart.index("开通费用_2")


def test_what_differs_is_marked_by_more_than_colour() -> None:
    pieces = difference("开通方式_2", "开通费用_2")
    struck = [span for span in reference_content(pieces).spans if span.style == REMOVED]
    under = [span for span in answer_content(pieces).spans if span.style == ADDED]
    assert [reference_content(pieces).plain[span.start : span.end] for span in struck] == ["方式"]
    assert [answer_content(pieces).plain[span.start : span.end] for span in under] == ["费用"]
    assert "strike" in REMOVED
    assert "underline" in ADDED
    assert one_text(pieces).plain == "开通[−方式−][+费用+]_2"


def test_blanks_that_differ_are_seen() -> None:
    assert one_text(difference("好 好", "好好")).plain == "好[−·−]好"
    assert "⏎" in one_text(difference("一\n", "一")).plain


def test_texts_that_differ_too_much_are_not_marked() -> None:
    shown = sheet(predict="完全不同的一句话", alike=False)
    assert "They differ too much for marks." in lines(shown, 116)
    assert not [span for span in sheet_content(shown, 116).spans if span.style in (ADDED, REMOVED)]


def test_the_facts_of_an_answer() -> None:
    text = "\n".join(lines(sheet(loss=1.25, reward=-0.5, dropped_turns=2, prompt_tokens=9), 160))
    for fact in ("✗ not equal · cut at max_new_tokens · 6 characters · 5 tokens", "loss 1.25", "reward -0.5"):
        assert fact in text
    assert "9 tokens · 2 old messages left out" in text


def test_probabilities_of_choices() -> None:
    shown = sheet(predict="A", label="B", choice={"A": 0.75, "B": 0.25})
    (first, second) = [line for line in lines(shown, 80) if line[:2] in ("A ", "B ") and "%" in line]
    assert first.split()[-1] == "75.00%"
    assert second.endswith("25.00% ← reference")
    assert first.count("█") == 3 * second.count("█")


def test_the_turns_before_the_question_are_counted_and_the_last_is_shown() -> None:
    shown = sheet(turns=[("system", "规则"), ("user", "一"), ("assistant", "二"), ("user", "三")])
    text = lines(shown, 80)
    assert text[0].startswith("▎question  3 messages before it")
    assert text[1] == "三"


def test_a_text_of_any_length_is_cut_and_that_is_said() -> None:
    text = "\n".join(lines(sheet(predict="好" * 50_000, label="好"), 76))
    assert "30,000 more characters" in text


# --- layout ---


def test_lines_break_between_chinese_characters_and_keep_their_style() -> None:
    styled = Content.assemble(("你好abc ", "bold"), ("world，中文中文\n\n第二行", "red"))
    broken = wrapped(styled, 8)
    assert [line.plain for line in broken] == ["你好abc", "world，", "中文中文", "", "第二行"]
    assert [span.style for span in broken[2].spans] == ["red"]


def test_two_columns_share_their_lines() -> None:
    joined = beside([Content("一"), Content("two")], [Content("x")], 4)
    assert [line.plain for line in joined] == ["一   │ x", "two  │ "]
    assert 2 * column_width(101) + 3 <= 101


# --- the list ---


def table() -> ReportTable:
    columns = [ScoreColumn(name, name, True, [50.0] * 6) for name in ("exact_match", "other", "rouge-l", "bleu-4")]
    return ReportTable(rows(), columns, range(6), [False] * 6, {1: ("good", True)})


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 200])
def test_every_line_is_as_wide_as_the_list(width: int) -> None:
    layout = ColumnLayout(table(), width)
    heading = layout.heading("bleu-4", descending=False)
    for index in range(6):
        line = layout.line(index)
        text = "".join(getattr(line, part) for part in line.__slots__)
        assert cell_len(text) == cell_len(heading)
        assert cell_len(text) <= max(width, 48)


def test_likeness_comes_before_other_metrics_and_what_is_sorted_by_is_there() -> None:
    assert [column.name for column in ColumnLayout(table(), 75).columns] == ["bleu-4", "rouge-l"]
    assert "other" in [column.name for column in ColumnLayout(table(), 60, "other").columns]


def test_what_all_prompts_share_is_left_out() -> None:
    texts = ["system says: 甲？ now answer", "system says: 乙乙？ now answer", "system says: 丙？ now answer"]
    assert shared_ends(texts) == ("system says: ", "？ now answer")
    assert shared_ends(["same", "same"]) == ("", "")
    assert shared_ends(["一"]) == ("", "")


def test_as_many_numbers_as_fit_those_most_looked_for_first() -> None:
    values = {name: Value(12.345, 9, 10.0, 20.0) for name in ("exact_match", "token_f1", "bleu-4", "rouge-l")}
    (one,) = numbers_lines(values, 50, 1)
    assert one.plain == "exact match 12.3 [10.0, 20.0]   BLEU-4 12.3"
    two = numbers_lines(values, 60, 2)
    assert [line.plain for line in two] == [
        "exact match 12.3 [10.0, 20.0]   BLEU-4 12.3 [10.0, 20.0]",
        "ROUGE-L 12.3 [10.0, 20.0]   token F1 12.3 [10.0, 20.0]",
    ]
    (scored,) = numbers_lines({**values, "reward": Value(1.5, 9)}, 30, 1)
    assert scored.plain.startswith("reward 1.5")


def test_many_classes_are_listed_without_a_table_of_counts() -> None:
    classes = tuple(ClassScore(f"类{n}", 2, 1, 1, 100.0, 50.0, 66.7) for n in range(40))
    head, shown, filters = confusion_lines(Confusion(classes, {"类0": {"类1": 1, "": 3}}), 100)
    assert head.plain.count("\n") == 0
    assert len(shown) == 40
    assert shown[0].plain.rstrip().endswith("no class ×3, 类1 ×1")
    assert filters[0] == 'label="类0" wrong'


def test_the_word_that_is_typed_is_completed() -> None:
    names = ["wrong", "bleu-4", "rouge-l", "text:"]
    assert completed("wr", names) == "wrong"
    assert completed("wrong -ble", names) == "wrong -bleu-4"
    assert completed('text:"wr', names) is None
    assert completed("wrong", names) is None
    assert completed("w", names) is None


def test_every_action_of_a_report_can_be_done() -> None:
    names = [action.name.partition("(")[0] for action in ACTIONS if action.scope == "report"]
    assert len(names) == 23
    assert not [name for name in names if not hasattr(ReportScreen, f"action_{name}")]


# --- the question, from its data set ---


def test_a_set_that_was_changed_since_gives_no_question(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    make_report(workspace)
    report = Report(Subject("x", "demo"), EvaluatedSet(SET, 6), config={"seed": 42, "dataset_dir": "data"})
    asked = AskedRows(report, workspace)
    assert [message.content for message in asked.messages(rows()[0])] == ["请回答：怎么取消流量包？"]
    assert asked.messages(dataclasses.replace(rows()[0], label="another")) == ()
    assert asked.messages(dataclasses.replace(rows()[0], row=99)) == ()
    assert asked.messages(dataclasses.replace(rows()[0], choice={"A": 1.0})) == ()
    file = dataclasses.replace(report, data=EvaluatedSet("stem", 6, files=(str(workspace.data / f"{SET}.jsonl"),)))
    assert AskedRows(file, workspace).messages(rows()[0]) == asked.messages(rows()[0])
    gone = dataclasses.replace(report, data=EvaluatedSet("gone", 1))
    assert AskedRows(gone, workspace).messages(rows()[0]) == ()
