"""Reports and comparisons as files for others: what stands in them, and that nothing in them acts."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from core.errors import UsageError
from core.metrics.metric import Artefact, ClassScore, Confusion, Measuring, Value
from core.report.catalog import list_reports
from core.report.compare import Comparison, compare
from core.report.compare_export import export_comparison
from core.report.export import export_reports, export_rows, markdown_cell, report_markdown, safe_cell
from core.report.html import POLICY, report_page, write_html
from core.report.layout import PlannedPart
from core.report.page.charts import curves, histogram, whisker
from core.report.page.markup import tag
from core.report.prediction import Prediction
from core.report.questions import question_text
from core.report.report import Subject
from core.report.rows import OpenReport, open_report
from core.workspace import Workspace
from hostile import CORPUS, dangers
from scripted_reports import ScriptedEvaluation, predictions, write_part
from scripted_runs import BEGAN, ScriptedRun

ROWS = predictions(["流量查询_2", "no", "a|b"], ["流量查询_3", "no", "=1+1"])


@pytest.fixture
def opened(tmp_path: Path) -> OpenReport:
    write_part(tmp_path / "runs" / "eval", ROWS)
    return open_report(tmp_path / "runs" / "eval")


# --- CSV, JSON lines, Markdown --------------------------------------------------------------------------------------


def test_rows_as_csv_have_the_order_that_was_given_and_run_in_no_spreadsheet(opened: OpenReport) -> None:
    opened.review.put(ROWS[2], verdict="bad", note="@SUM(A1)")
    text = export_rows(opened, [2, 0], "csv")
    assert text.startswith("\ufeffid,row,repeat,prompt,label,predict,")
    rows = list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))
    assert [row["row"] for row in rows] == ["3", "1"]
    assert (rows[0]["predict"], rows[0]["note"], rows[0]["verdict"]) == ("'=1+1", "'@SUM(A1)", "bad")
    assert (rows[1]["label"], rows[1]["exact_match"]) == ("流量查询_2", "0.0")


def test_a_lone_carriage_return_begins_no_new_cell(tmp_path: Path) -> None:
    write_part(tmp_path, [Prediction("q", "fine\r=1+1", "x")], metrics=("exact_match",))
    text = export_rows(open_report(tmp_path), [0], "csv")
    assert '"fine\r=1+1"' in text


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@x", " =1", "\n=1", "\t1", "\r1", "＝1"])
def test_a_text_that_begins_like_a_formula_is_only_text(text: str) -> None:
    assert safe_cell(text) == f"'{text}"
    assert safe_cell(f"x{text}") == f"x{text}"


@pytest.mark.parametrize("name", list(CORPUS))
def test_any_text_can_be_written(name: str, tmp_path: Path) -> None:
    text = CORPUS[name]
    row = Prediction(text, text, text[::-1], id="x", thinking=text)
    write_part(tmp_path, [row], metrics=("exact_match",))
    opened = open_report(tmp_path)
    csv.field_size_limit(1 << 30)
    (cells,) = csv.DictReader(io.StringIO(export_rows(opened, [0], "csv").removeprefix("\ufeff"), newline=""))
    assert cells["predict"].removeprefix("'")[-20:] == safe_cell(text)[-20:].removeprefix("'")
    assert json.loads(export_rows(opened, [0], "jsonl"))["predict"] == text
    table = [line for line in export_rows(opened, [0], "markdown").split("\n") if line.startswith("| 1 |")]
    assert len(table) == 1
    assert not dangers(table[0])


def test_rows_as_json_lines_have_scores_and_reviews(opened: OpenReport) -> None:
    opened.review.put(ROWS[1], verdict="good")
    records = [json.loads(line) for line in export_rows(opened, [1], "jsonl").splitlines()]
    assert records[0]["scores"] == {"exact_match": 100.0, "edit_similarity": 100.0}
    assert (records[0]["verdict"], records[0]["id"]) == ("good", "row-1")
    assert "note" not in records[0]


def test_markdown_shows_texts_as_they_are(opened: OpenReport) -> None:
    assert markdown_cell("a|b\n<b>*x* `y` [z] 流量_2 _w_") == (
        "a\\|b<br>&lt;b&gt;\\*x\\* \\`y\\` \\[z\\] 流量_2 \\_w\\_"
    )
    page = report_markdown(opened, [0])
    assert "| exact match | 33.33 |" in page
    assert "| max_new_tokens | 64 |" in page
    assert "| 1 | question 0 | 流量查询_2 | 流量查询_3 | 0.00 |" in page


def test_an_unknown_format_names_the_nearest(opened: OpenReport) -> None:
    with pytest.raises(UsageError, match="there is no format 'cvs'") as caught:
        export_rows(opened, [0], "cvs")
    assert caught.value.hint == "did you mean 'csv'?"


def test_the_table_of_reports(tmp_path: Path) -> None:
    parts = [PlannedPart("=x · exam", "x", "=x", "exam", 3), PlannedPart("y · exam", "y", "y", "exam", 3)]
    folder = tmp_path / "runs" / "both"
    ScriptedEvaluation(folder, parts)
    write_part(folder / "x", ROWS, subject=Subject("=x", "demo", "=x"), time=BEGAN + 5)
    listed = list_reports(Workspace(tmp_path))
    rows = list(csv.DictReader(io.StringIO(export_reports(listed, "csv"))))
    assert [(row["report"], row["adapter"], row["exact_match"][:5], row["rows"]) for row in rows] == [
        ("both/y", "", "", "3"),
        ("both/x", "'=x", "33.33", "3"),
    ]
    assert float(rows[1]["exact_match low"]) <= float(rows[1]["exact_match"]) <= float(rows[1]["exact_match high"])
    record = json.loads(export_reports(listed, "jsonl").splitlines()[1])
    assert record["metrics"]["exact_match"]["n"] == 3
    table = export_reports(listed, "markdown", ["edit_similarity"]).splitlines()
    assert table[0] == "| report | model | adapter | set | n | edit sim. |"
    assert table[3].startswith("| both/x | demo | =x | exam | 3 | ")


@pytest.mark.parametrize(
    ("prompt", "question"),
    [
        (
            "<|im_start|>system\nBe kind<|im_end|>\n<|im_start|>user\n你好 吗<|im_end|>\n<|im_start|>assistant\n",
            "你好 吗",
        ),
        ("<s>[INST] What? [/INST]", "What?"),
        ("Human: first\nAssistant: yes\nHuman: second\nAssistant: ", "second"),
        ("问：天气\n答：", "天气"),
        ("plain", "plain"),
        ("", ""),
    ],
)
def test_the_question_out_of_a_prompt(prompt: str, question: str) -> None:
    assert question_text(prompt) == question


# --- the page -------------------------------------------------------------------------------------------------------


class Page(HTMLParser):
    """What a browser would make of a page: its elements, their attributes, and the text that is shown."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.shown = ""
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.shown += data

    def assert_harmless(self) -> None:
        """Nothing runs, and nothing is loaded from anywhere."""
        assert ("meta", {"http-equiv": "Content-Security-Policy", "content": POLICY}) in self.elements
        assert {"script", "img", "link", "iframe", "object", "a", "form"}.isdisjoint(tag for tag, _ in self.elements)
        for _tag, attributes in self.elements:
            assert not [name for name in attributes if name.startswith("on") or name in ("src", "href")]
        assert not dangers(self.shown)


def test_the_page_has_the_numbers_their_intervals_and_the_rows(tmp_path: Path) -> None:
    confusion = Confusion(
        (ClassScore("是", 2, 1, 1, 100.0, 50.0, 66.7), ClassScore("否", 1, 2, 1, 50.0, 100.0, 66.7)),
        {"是": {"是": 1, "否": 1}, "否": {"否": 1}},
    )
    folder = tmp_path / "runs" / "eval"
    rows = [replace(ROWS[0], choice={"A": 0.25, "B": 0.75}), *ROWS[1:]]
    report = write_part(folder, rows, notes=("2 near-ties",))
    opened = replace(
        open_report(folder),
        report=replace(
            report,
            values={"exact_match": Value(33.333, 3, 12.5, 66.6), "loss": Value(1.2345678, 3)},
            artefacts=(Artefact("bleu-4", "labels are short"),),
            confusion=confusion,
            data=replace(report.data, seen_in_training=2),
        ),
    )
    opened.review.put(ROWS[0], verdict="unsure", note="看一下")
    (folder / "config.yaml").write_text("dataset: exam\n")
    page = Page(report_page(opened, Workspace(tmp_path)))
    page.assert_harmless()
    for told in (
        "demo · exam",
        "33.33",
        "12.50 – 66.60",
        "1.235",
        "BLEU-4: labels are short",
        "2 near-ties",
        "2 of 3 questions",
        "only numbers differ",
        "verdict: unsure",
        "看一下",
        "question 0",
        "ab" * 32,
        "max_new_tokens",
        "B 75.0 %, A 25.0 %",
        "finetui eval runs/eval/config.yaml",
    ):
        assert told in page.shown
    assert ("del", {}) in page.elements
    assert ("ins", {}) in page.elements
    assert page.shown.index("Worst answers") < page.shown.index("Best answers")


def test_no_text_can_act_in_the_page(tmp_path: Path) -> None:
    texts = list(CORPUS.values())
    rows = [
        Prediction(
            text, text[:5000], text[:5000][::-1], id=name, row=at, thinking=text, error=text[:99] * (at % 5 == 0)
        )
        for at, (name, text) in enumerate(CORPUS.items())
    ]
    evil = '"><script>alert(1)</script>\x1b]52;c;x\x07\u202e'
    write_part(tmp_path, rows, metrics=("exact_match",), subject=Subject(evil, evil, evil, evil), notes=tuple(texts))
    opened = open_report(tmp_path)
    page = Page(report_page(opened, Workspace(tmp_path), range(len(rows))))
    page.assert_harmless()
    assert "<script>alert(1)</script>" in page.shown
    assert f"{len(rows)} rows" in page.shown


def test_attributes_and_texts_are_escaped_by_construction() -> None:
    made = tag("p", "<b>&", tag("i", "x"), None, class_='"><x', data_n=3, title=None)
    assert made == '<p class="&quot;&gt;&lt;x" data-n="3">&lt;b&gt;&amp;<i>x</i></p>'


def test_the_curves_of_the_adapters_training_are_drawn(tmp_path: Path) -> None:
    training = ScriptedRun(tmp_path / "runs" / "lora")
    for number in range(1, 6):
        training.step(number, 3.0 / number)
    write_part(
        tmp_path / "runs" / "eval", ROWS, subject=Subject("lora", "demo", "lora", "runs/lora/checkpoints/step-5")
    )
    page = (tmp_path / "runs" / "eval" / "report.html", write_html(tmp_path / "runs" / "eval", Workspace(tmp_path)))
    assert page[0] == page[1]
    text = page[1].read_text()
    assert "How it was trained" in text
    assert text.count("<polyline") >= 2
    write_part(tmp_path / "runs" / "other", ROWS, subject=Subject("base", "demo", path="models/demo"))
    assert "How it was trained" not in write_html(tmp_path / "runs" / "other", Workspace(tmp_path)).read_text()


def test_drawings_are_to_scale() -> None:
    line = whisker(50.0, 25.0, 75.0)
    assert 'cx="110.0"' in line
    assert re.findall(r'class="range"', line) == ['class="range"'] * 3
    bars = histogram([0.0, 5.0, 99.9, 100.0])
    assert bars.count("<rect") == 10
    assert "90 – 100: 2 rows" in bars
    assert curves([]) == ""
    assert 'points="44,8 412,128"' in curves([(0, 2.0), (10, 1.0)])


# --- comparisons ----------------------------------------------------------------------------------------------------


@pytest.fixture
def compared(tmp_path: Path) -> Comparison:
    labels = [f"label {at}" for at in range(12)]
    for name, right in (("base", 4), ("lora", 10)):
        answers = [label if at < right else f"<i>{name}</i>" for at, label in enumerate(labels)]
        write_part(tmp_path / name, predictions(labels, answers), subject=Subject(name, "demo"))
    return compare([open_report(tmp_path / name) for name in ("base", "lora")], (), Measuring(bootstrap=200))


def test_a_comparison_as_a_page(compared: Comparison) -> None:
    page = Page(export_comparison(compared, "html"))
    page.assert_harmless()
    for told in (
        "base / lora",
        "33.33",
        "83.33 ★",
        "+50.00",
        "lora: improved",
        "6 improved, 0 regressed",
        "p = 0.0312",
    ):
        assert told in page.shown
    assert "<i>base</i>" in page.shown
    assert "lora: regressed" not in page.shown
    chosen = Page(export_comparison(compared, "html", [11])).shown
    assert "1 row" in chosen
    assert "lora: improved" not in chosen


def test_a_comparison_as_rows(compared: Comparison) -> None:
    rows = list(csv.DictReader(io.StringIO(export_comparison(compared, "csv"))))
    assert [row["lora change"] for row in rows] == ["same"] * 4 + ["improved"] * 6 + ["changed"] * 2
    assert (rows[5]["base"], rows[5]["lora"], rows[5]["lora exact_match"]) == ("<i>base</i>", "label 5", "100.0")
    (record,) = map(json.loads, export_comparison(compared, "jsonl", [5]).splitlines())
    assert record["changes"] == {"lora": "improved"}
    assert record["scores"]["exact_match"] == {"base": 0.0, "lora": 100.0}


def test_a_comparison_as_markdown(compared: Comparison) -> None:
    lines = export_comparison(compared, "markdown", [5]).splitlines()
    assert lines[0] == "# base / lora"
    assert lines[2] == "| metric | base | lora | Δ lora | n |"
    assert re.match(
        r"\| exact match \| 33\.33 \| \*\*83\.33\*\* \| \+50\.00 \(\+\d+\.\d\d – \+\d+\.\d\d\) \| 12 \|", lines[4]
    )
    assert lines[-1] == "| 6 | question 5 | label 5 | &lt;i&gt;base&lt;/i&gt; | label 5 | improved |"
    with pytest.raises(UsageError, match="there is no format 'pdf'"):
        export_comparison(compared, "pdf")
