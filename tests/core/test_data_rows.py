"""Rows by their numbers: every format of files, places, encodings, and the index that is made once."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest

from core.data import index as index_module
from core.data import search as search_module
from core.data.catalog import read_catalog
from core.data.entry import DATA_SUFFIXES, DatasetEntry
from core.data.index import cache_folder, open_index
from core.data.problems import RowProblem
from core.data.rows import IndexedRows, open_file, open_rows
from core.data.search import search
from core.errors import DataError

TWO = [{"instruction": "q1", "output": "a1"}, {"instruction": "问2", "output": "答2"}]


def everything(path: Path) -> list[tuple[dict[str, Any], int]]:
    rows = open_file(path)
    return [(row, place.line) for row, place in (rows[number] for number in range(len(rows)))]


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


# --- formats of files --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".json", ".jsonl"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
def test_json_lines_with_blank_lines_between(tmp_path: Path, suffix: str, mark: bytes, newline: bytes) -> None:
    first, second = (json.dumps(row, ensure_ascii=False).encode() for row in TWO)
    path = write(tmp_path / f"x{suffix}", mark + newline.join((first, b"", b"  ", second)))
    assert everything(path) == [(TWO[0], 1), (TWO[1], 4)]
    assert open_file(path).raw(1) == second


@pytest.mark.parametrize("indent", [None, 1])
def test_a_json_array_however_it_is_laid_out(tmp_path: Path, indent: int | None) -> None:
    path = write(tmp_path / "x.json", "\n" + json.dumps(TWO, ensure_ascii=False, indent=indent) + "\n\n")
    assert everything(path) == [(TWO[0], 2 if indent is None else 3), (TWO[1], 2 if indent is None else 7)]


def test_brackets_and_quotes_in_texts_end_no_element(tmp_path: Path) -> None:
    rows = [
        {"t": '}],{"a":[', "u": 'say \\" or "x"\\'},
        {"deep": [[[{"a": ["]", {"b": "{"}]}]]]},
        {"n": [1.5, None, True]},
    ]
    path = write(tmp_path / "x.json", json.dumps(rows))
    assert [row for row, _line in everything(path)] == rows


def test_an_element_nested_deeper_than_the_expression_goes_is_decoded(tmp_path: Path) -> None:
    deep: Any = "bottom"
    for _level in range(40):
        deep = [deep]
    rows = [{"a": 1}, {"deep": deep}, {"b": 2}]
    path = write(tmp_path / "x.json", json.dumps(rows, indent=0))
    assert [row for row, _line in everything(path)] == rows


@pytest.mark.parametrize(
    ("text", "rows", "problem"),
    [
        ("[", 0, "x.json:1: broken JSON: Expecting value"),
        ('[{"a": 1},\n {"a" 2}]', 2, ""),  # brackets fit: the row tells it
        ('[{"a": 1},\n {"a": "x}]', 1, "x.json:2: broken JSON: Unterminated string starting at"),
        ('[{"a": 1}\n {"a": 2}]', 0, "x.json:1: broken JSON: a comma is missing"),
        ('[{"a": 1}]\n[]', 1, "x.json:2: there is more text after the array's end"),
        ("[]", 0, "x.json: the file has no rows"),
    ],
)
def test_an_array_that_is_not_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, rows: int, problem: str
) -> None:
    monkeypatch.chdir(tmp_path)
    opened = open_file(write(tmp_path / "x.json", text))
    assert len(opened) == rows
    assert [f"{found.where}: {found.what}" for found in opened.problems] == ([problem] if problem else [])


def test_a_broken_element_is_told_by_its_own_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = open_file(write(tmp_path / "x.json", '[\n{\n "a": 1\n},\n{\n "a": 2\n "b": 3\n}\n]'))
    assert rows.place(1).line == 5
    with pytest.raises(RowProblem, match=r"^x\.json:7: broken JSON: Expecting ',' delimiter, at character 2"):
        rows[1]


def test_rows_that_share_a_line_are_told_by_their_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = open_file(write(tmp_path / "x.json", '[{"a": 1}, {"a": 2},\n{"a": 3},\n{"a": 4}, {"a" 5}]'))
    places = [str(rows.place(number)) for number in range(5)]
    assert places == ["x.json:1: row 1", "x.json:1: row 2", "x.json:2", "x.json:3: row 4", "x.json:3: row 5"]
    with pytest.raises(RowProblem, match=r"^x\.json:3: row 5: broken JSON: Expecting ':' delimiter"):
        rows[4]


def test_csv_with_quotes_newlines_and_a_stray_quote(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", 'q,a\r\n"one\ntwo","say ""hi"", twice"\r\n\r\n5" disk,答\r\n')
    assert everything(path) == [
        ({"q": "one\ntwo", "a": 'say "hi", twice'}, 2),
        ({"q": '5" disk', "a": "答"}, 5),
    ]


def test_a_csv_record_with_a_cell_too_many(tmp_path: Path) -> None:
    rows = open_file(write(tmp_path / "x.csv", "q,a\none,two,three\n"))
    with pytest.raises(RowProblem) as caught:
        rows[0]
    assert caught.value.fault.what == "3 cells where the header has 2"
    assert caught.value.place.line == 2


def test_tabs_and_plain_text(tmp_path: Path) -> None:
    assert everything(write(tmp_path / "x.tsv", "q\ta\n1, 2\tx\n")) == [({"q": "1, 2", "a": "x"}, 2)]
    assert everything(write(tmp_path / "x.txt", "one\r\n\ntwo")) == [({"text": "one"}, 1), ({"text": "two"}, 3)]


def test_parquet_in_row_groups_and_arrow_as_file_and_stream(tmp_path: Path) -> None:
    rows = [{"n": number, "messages": [{"role": "user", "content": str(number)}]} for number in range(2500)]
    table = arrow.Table.from_pylist(rows)
    parquet.write_table(table, tmp_path / "x.parquet", row_group_size=1100)
    with arrow.ipc.new_file(tmp_path / "file.arrow", table.schema) as writer:
        writer.write_table(table, max_chunksize=600)
    with arrow.ipc.new_stream(tmp_path / "stream.arrow", table.schema) as writer:
        writer.write_table(table, max_chunksize=600)
    for name in ("x.parquet", "file.arrow", "stream.arrow"):
        opened = open_file(tmp_path / name)
        assert len(opened) == 2500
        for number in (0, 2499, 1099, 1100, 1023, 1024, 3):
            row, place = opened[number]
            assert (row, place.line) == (rows[number], number + 1)
        with pytest.raises(IndexError):
            opened[2500]


def test_what_is_no_parquet_and_what_has_no_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"x\.parquet cannot be read: Parquet magic bytes not found"):
        open_file(write(tmp_path / "x.parquet", "no columns at all"))
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(DataError) as caught:
        open_file(tmp_path / "x.parquet")
    assert str(caught.value) == "Parquet and Arrow files need pyarrow: install it: pip install 'finetui[data]'"


def test_an_unknown_suffix_names_those_that_are_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"x\.xlsx: the format is not known: finetui reads \.json, \.jsonl, \.csv"):
        open_file(write(tmp_path / "x.xlsx", ""))


def test_a_folder_of_files_in_the_order_of_their_names(tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    write(folder / "b.jsonl", '{"n": 3}\n')
    write(folder / "a.json", '[{"n": 1}, {"n": 2}]')
    write(folder / "README.md", "# no rows")
    write(folder / ".hidden.json", "[]")
    rows = open_rows(DatasetEntry("many", tmp_path, "many"))
    assert [rows[number][0]["n"] for number in range(len(rows))] == [1, 2, 3]
    assert (rows.place(2).file.name, rows.place(2).line) == ("b.jsonl", 1)
    assert [path.name for path in rows.files] == ["a.json", "b.jsonl"]
    assert list(search(rows, "3")) == [2]


# --- encodings ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "gbk", "utf-16"])
@pytest.mark.parametrize("layout", ["lines", "array", "csv"])
def test_chinese_in_every_encoding(tmp_path: Path, encoding: str, layout: str) -> None:
    rows = [
        {"q": "儬乗", "a": "刓\\[圼]"},
        {"q": "问题", "a": "答案"},
    ]  # GBK's second bytes: backslash, brackets, braces
    match layout:
        case "lines":
            text, name = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "x.jsonl"
        case "array":
            text, name = json.dumps(rows, ensure_ascii=False, indent=1), "x.json"
        case _:
            text, name = "q,a\n" + "".join(f"{row['q']},{row['a']}\n" for row in rows), "x.csv"
    opened = open_file(write(tmp_path / name, text.encode(encoding)))
    assert [opened[number][0] for number in range(len(opened))] == rows
    assert isinstance(opened, IndexedRows)
    assert opened.facts.encoding == {"gbk": "gb18030"}.get(encoding, encoding)
    assert list(search(opened, "答案")) == [1]


def test_one_broken_byte_makes_no_gbk_of_utf8(tmp_path: Path) -> None:
    lines = [json.dumps({"q": "问题", "a": "答案"}, ensure_ascii=False).encode() for _number in range(3)]
    rows = open_file(write(tmp_path / "x.jsonl", b"\n".join((*lines, lines[0].replace("题".encode(), b"\xe9\xa2")))))
    assert rows[0][0] == {"q": "问题", "a": "答案"}
    with pytest.raises(RowProblem) as caught:
        rows[3]
    assert caught.value.fault.kind == "broken_text"


# --- the index ---------------------------------------------------------------------------------------------------


def test_an_index_is_made_once_and_again_when_the_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_module, "_WORTH_KEEPING", 0)
    path = write(tmp_path / "x.json", "[\n" + ",\n".join(json.dumps(row) for row in TWO) + "]]")
    first = open_index(path)
    made: list[str] = []
    monkeypatch.setattr(index_module, "scan", lambda *_arguments: made.append("again"))
    kept = open_index(path)
    assert (list(kept.starts), list(kept.lines), kept.facts) == (list(first.starts), list(first.lines), first.facts)
    assert kept.facts.fault is not None
    assert made == []
    monkeypatch.undo()
    monkeypatch.setenv("HOME", str(tmp_path))
    write(path, json.dumps(TWO[:1]))
    assert len(open_index(path).lines) == 1


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-5], lambda data: b"x" + data, lambda data: b"", lambda data: data[:40]]
)
def test_a_damaged_index_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Any) -> None:
    monkeypatch.setattr(index_module, "_WORTH_KEEPING", 0)
    path = write(tmp_path / "x.jsonl", '{"n": 1}\n{"n": 2}\n')
    open_index(path)
    (kept,) = cache_folder().glob("*.index")
    write(kept, damage(kept.read_bytes()))
    assert [row["n"] for row, _line in everything(path)] == [1, 2]


def test_indexes_of_vanished_files_are_dropped_and_a_folder_that_cannot_be_written_is_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_module, "_WORTH_KEEPING", 0)
    gone, stays = write(tmp_path / "gone.jsonl", '{"n": 1}\n'), write(tmp_path / "stays.jsonl", '{"n": 1}\n')
    open_index(gone)
    gone.unlink()
    open_index(stays)
    assert len(list(cache_folder().glob("*.index"))) == 1
    monkeypatch.setenv("XDG_CACHE_HOME", os.devnull)
    assert len(open_index(stays).lines) == 1


def test_rows_travel_to_other_processes(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", "q,a\n1,2\n")
    assert pickle.loads(pickle.dumps(open_file(path)))[0][0] == {"q": "1", "a": "2"}


# --- search ------------------------------------------------------------------------------------------------------


def test_search_finds_what_is_read_however_it_is_written(tmp_path: Path) -> None:
    lines = [
        '{"q": "\\u7b54\\u6848", "a": 1}',
        '{"q": "答案", "a": "Über"}',
        '{"答案": "x", "a": ["DEEP \\"q\\""]}',
        '{"a": "答',
    ]
    rows = open_file(write(tmp_path / "x.jsonl", "\n".join(lines)))
    assert list(search(rows, "答案")) == [0, 1]  # in values, not in the names of columns
    assert list(search(rows, "答")) == [0, 1, 3]  # a row that is no JSON is searched as it stands
    assert list(search(rows, "deep")) == [2]
    assert list(search(rows, '"q"')) == [2]
    assert list(search(rows, "über")) == [1]
    assert list(search(rows, "答", start=1)) == [1, 3]
    assert list(search(rows, "")) == []


def test_search_in_csv_counts_rows_without_the_header(tmp_path: Path) -> None:
    rows = open_file(write(tmp_path / "x.csv", 'q,a\nhead,"say ""x"""\nq,tail\n'))
    assert list(search(rows, "tail")) == [1]
    assert list(search(rows, 'say "x"')) == [0]
    assert list(search(rows, "q")) == [1]


# --- hubs --------------------------------------------------------------------------------------------------------


def hub(tmp_path: Path, **entry: Any) -> DatasetEntry:
    (tmp_path / "dataset_info.json").write_text(json.dumps({"x": {"hf_hub_url": "org/name", **entry}}))
    return read_catalog(tmp_path).entry("x")


def test_a_hubs_set_comes_through_datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def load_dataset(*names: str, **options: Any) -> list[dict[str, str]]:
        asked.append((names, options))
        return [{"instruction": "q", "output": "a"}]

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    rows = open_rows(hub(tmp_path, subset="zh", split="test", folder="part"))
    assert rows[0] == ({"instruction": "q", "output": "a"}, rows.place(0))
    assert asked == [(("org/name",), {"name": "zh", "data_dir": "part", "split": "test"})]


def test_what_a_hub_cannot_give_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError) as caught:
        open_rows(hub(tmp_path))
    assert str(caught.value) == "x: sets of a hub need the package datasets: install it: pip install 'finetui[data]'"

    def load_dataset(*names: str, **options: Any) -> None:
        raise ConnectionError("no network\nand much more")

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    with pytest.raises(DataError, match=r"^x: org/name cannot be fetched: no network: look at the name"):
        open_rows(hub(tmp_path))


def test_a_file_that_is_cut_off_while_it_is_open_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "x.jsonl", '{"n": 1}\n' * 3)
    rows = open_file(path)
    with path.open("r+b") as file:
        file.truncate(12)
    assert rows[0][0] == {"n": 1}
    with pytest.raises(RowProblem) as caught:
        rows[2]
    assert str(caught.value) == "x.jsonl:3: the file has been changed since it was opened: open it again"
    assert list(search(rows, "1")) == [0]


def test_search_goes_through_a_large_file_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_module, "_CHUNK", 30)
    path = write(
        tmp_path / "x.jsonl", "".join(json.dumps({"n": "x" * (number % 7 * 20)}) + "\n" for number in range(30))
    )
    assert list(search(open_file(path), "x" * 120)) == [6, 13, 20, 27]
    assert list(search(open_file(path), "x", start=26)) == [26, 27, 29]


def test_csv_cells_may_be_long_and_hold_what_only_text_calls_a_line(tmp_path: Path) -> None:
    long = "长" * 200_000
    path = write(tmp_path / "x.csv", f"q,a\n\r\n{long},one\u2028two\x0bthree\n")
    assert everything(path) == [({"q": long, "a": "one\u2028two\x0bthree"}, 3)]


def test_every_suffix_that_is_promised_is_read(tmp_path: Path) -> None:
    for suffix in DATA_SUFFIXES:
        with pytest.raises(DataError) if suffix in (".parquet", ".arrow") else contextlib.nullcontext():
            assert len(open_file(write(tmp_path / f"x{suffix}", ""))) == 0
