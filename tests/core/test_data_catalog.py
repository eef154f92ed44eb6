"""dataset_info.json as LLaMA-Factory reads it, files without an entry, and entering one."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from core.config.data import DataOptions
from core.data.catalog import read_catalog, register
from core.data.entry import DatasetEntry
from core.data.examples import open_comparisons, open_examples
from core.data.rows import open_rows
from core.errors import DataError, WorkspaceError
from core.workspace import Workspace


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def info(folder: Path, text: str | bytes | dict[str, Any]) -> None:
    text = json.dumps(text) if isinstance(text, dict) else text
    (folder / "dataset_info.json").write_bytes(text if isinstance(text, bytes) else text.encode())


def rows(path: Path, *found: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in found))
    return path


def test_an_entry_in_all_its_words(folder: Path) -> None:
    info(
        folder,
        {
            "x": {
                "file_name": "x.json",
                "formatting": "sharegpt",
                "ranking": True,
                "columns": {"messages": "talk", "chosen": "good", "rejected": "bad", "system": None},
                "tags": {"role_tag": "who", "user_tag": "me"},
                "num_samples": 5,
                "file_sha1": "abc",
                "split": "train",
            },
            "plain": {"file_name": "plain.json"},
            "hub": {"hf_hub_url": "org/name", "file_name": "ignored.json", "subset": "zh", "folder": "part"},
        },
    )
    catalog = read_catalog(folder)
    assert list(catalog.entries) == ["x", "plain", "hub"]
    entry = catalog.entry("x")
    assert (entry.formatting, entry.ranking, entry.num_samples, entry.file_sha1) == ("sharegpt", True, 5, "abc")
    assert entry.columns == {"messages": "talk", "chosen": "good", "rejected": "bad"}
    assert (entry.tags["role_tag"], entry.tags["user_tag"], entry.tags["assistant_tag"]) == ("who", "me", "gpt")
    assert catalog.entry("plain").columns == {"prompt": "instruction", "query": "input", "response": "output"}
    assert (catalog.entry("hub").hub_name, catalog.entry("hub").file_name) == ("org/name", "")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "gbk", "utf-8"])
def test_it_may_be_in_the_encodings_of_windows(folder: Path, encoding: str) -> None:
    info(folder, '{"电信": {"file_name": "电信.json"}}'.encode(encoding))
    assert read_catalog(folder).entry("电信").file_name == "电信.json"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            '{"a": {"file_name": "a.json"},\n "b": {"file_name" "b.json"}}',
            "data/dataset_info.json:2: broken JSON: Expecting ':' delimiter: "
            "mend the file: often a comma is missing or too many, in this line or the one before",
        ),
        (
            "[]",
            "data/dataset_info.json: expected an object with one object for each data set: "
            'write {"NAME": {"file_name": "…"}}',
        ),
    ],
)
def test_a_file_that_is_none_is_told_with_its_line(folder: Path, text: str, told: str) -> None:
    info(folder, text)
    with pytest.raises(DataError) as caught:
        read_catalog(folder)
    assert str(caught.value) == told


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ([], 'x: the entry is no object: write {"file_name": "…"}'),
        ({}, "x: the entry names no file: name the set's file with file_name, or its hub with hf_hub_url"),
        ({"file_name": 5}, "x: file_name is not a text: correct it in dataset_info.json"),
        ({"file_name": "a", "formatting": "alpca"}, "x: there is no formatting 'alpca': did you mean 'alpaca'?"),
        (
            {"file_name": "a", "formatting": "kto"},
            "x: there is no formatting 'kto': the formats are alpaca, sharegpt, openai",
        ),
        ({"file_name": "a", "ranking": "yes"}, "x: ranking is not true or false: correct it in dataset_info.json"),
        ({"file_name": "a", "columns": ["q"]}, "x: columns is not an object: correct it in dataset_info.json"),
        (
            {"file_name": "a", "columns": {"prompt": 1}},
            "x: columns.prompt is no text: write the name of a column, or take it out",
        ),
        ({"file_name": "a", "num_samples": 0}, "x: num_samples has to be 1 or more: leave it out for all rows"),
        (
            {"script_url": "x.py"},
            "x: script_url: a script is code of somebody else's, which is not run here: "
            "fetch its file yourself and name it with file_name",
        ),
        (
            {"ms_hub_url": "a/b"},
            "x: ms_hub_url: sets of ModelScope cannot be fetched: fetch its file yourself and name it with file_name",
        ),
    ],
)
def test_a_wrong_entry_hides_no_other(folder: Path, entry: object, told: str) -> None:
    info(folder, {"x": entry, "good": {"file_name": "good.json"}})
    catalog = read_catalog(folder)
    assert list(catalog.entries) == ["good"]
    assert str(catalog.problems["x"]) == f"data/dataset_info.json: {told}"
    with pytest.raises(DataError) as caught:
        catalog.entry("x")
    assert str(caught.value) == f"data/dataset_info.json: {told}"


def test_names_that_are_not_there(folder: Path) -> None:
    info(folder, {name: {"file_name": "a.json"} for name in ("telecom_train_400", "telecom_test_100", "persona")})
    catalog = read_catalog(folder)
    for name, hint in (
        ("telecom", "there are: telecom_train_400, telecom_test_100"),
        ("persnoa", "did you mean 'persona'?"),
        ("zzz", "there are: telecom_train_400, telecom_test_100, persona"),
    ):
        with pytest.raises(DataError) as caught:
            catalog.entry(name)
        assert str(caught.value) == f"data/dataset_info.json has no data set '{name}': {hint}"


def test_no_file_is_no_sets_and_folders_of_hubs_are_refused(folder: Path) -> None:
    assert read_catalog(folder).entries == {}
    with pytest.raises(DataError, match="folders of a hub cannot be read"):
        read_catalog("REMOTE:org/name")


def test_online_names_are_ids_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = SimpleNamespace(load_dataset=lambda *_names, **_options: [{"context": "q", "target": "a"}])
    monkeypatch.setitem(sys.modules, "datasets", fake)
    examples = open_examples(["org/name"], DataOptions(dataset_dir="ONLINE"), Workspace(tmp_path))
    assert [message.content for message in examples[0].messages] == ["q", "a"]
    assert [(source.path, source.sha256) for source in examples.sources] == [("org/name", "")]


# --- files without an entry --------------------------------------------------------------------------------------

GUESSES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "alpaca": (
        {"instruction": "q", "input": "i", "output": "a", "history": [["x", "y"]], "id": 7},
        {"columns": {"prompt": "instruction", "query": "input", "history": "history", "response": "output"}},
    ),
    "content and summary": (
        {"content": "q", "summary": "a"},
        {"columns": {"prompt": "content", "response": "summary"}},
    ),
    "context and target": ({"context": "q", "target": "a"}, {"columns": {"prompt": "context", "response": "target"}}),
    "prompt and completion": (
        {"prompt": "q", "completion": "a", "system": "s"},
        {"columns": {"prompt": "prompt", "system": "system", "response": "completion"}},
    ),
    "two columns of any name": (
        {"frage": "q", "antwort": "a"},
        {"columns": {"prompt": "frage", "response": "antwort"}},
    ),
    "sharegpt": (
        {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]},
        {"formatting": "sharegpt", "columns": {"messages": "conversations"}},
    ),
    "messages": (
        {"messages": [{"role": "user", "content": "q"}, {"role": "bot", "content": "a"}]},
        {"formatting": "sharegpt", "columns": {"messages": "messages"}},
    ),
    "a list of two": (
        {"instruction": "q", "output": ["good", "bad"]},
        {"ranking": True, "columns": {"prompt": "instruction", "response": "output"}},
    ),
    "chosen and rejected": (
        {"prompt": "q", "chosen": "good", "rejected": "bad"},
        {"ranking": True, "columns": {"prompt": "prompt", "chosen": "chosen", "rejected": "rejected"}},
    ),
    "preferences of a chat": (
        {
            "prompt": [{"role": "user", "content": "q"}],
            "chosen": {"role": "assistant", "content": "good"},
            "rejected": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "bad"}],
        },
        {
            "formatting": "sharegpt",
            "ranking": True,
            "columns": {"messages": "prompt", "chosen": "chosen", "rejected": "rejected"},
        },
    ),
}


@pytest.mark.parametrize("name", GUESSES)
def test_a_files_columns_are_guessed_entered_and_read_back(folder: Path, name: str) -> None:
    row, expected = GUESSES[name]
    path = rows(folder / "mine.jsonl", row)
    guessed = read_catalog(folder).entry("mine.jsonl")
    assert not guessed.registered
    written = guessed.as_json()
    written.pop("tags", None)
    assert written == {"file_name": "mine.jsonl", **expected}
    register(folder, guessed)
    entry = read_catalog(folder).entry("mine")
    assert entry.registered
    assert entry.path == path
    workspace = Workspace(folder.parent)
    if entry.ranking:
        comparison = open_comparisons(["mine"], None, workspace)[0]
        assert (comparison.messages[-1].content, comparison.chosen, comparison.rejected) == ("q", "good", "bad")
    else:
        *_before, question, answer = open_examples(["mine"], None, workspace)[0].messages
        assert (question.content.split("\n")[0], answer.content) == ("q", "a")


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (
            {"a": "x", "b": "y", "c": "z"},
            "data/mine.jsonl: the columns 'a', 'b', 'c' do not tell which is the question and which the answer: "
            "enter the set with --prompt COLUMN --response COLUMN, or describe it in dataset_info.json",
        ),
        ({}, "data/mine.jsonl: there are no columns, so the format cannot be guessed: look at the file's first lines"),
        (None, "data/mine.jsonl: the file has no rows: write rows into it, or leave it out"),
    ],
)
def test_columns_that_say_nothing_are_not_guessed(folder: Path, row: dict[str, str] | None, told: str) -> None:
    rows(folder / "mine.jsonl", *([] if row is None else [row]))
    with pytest.raises(DataError) as caught:
        read_catalog(folder).entry("mine.jsonl")
    assert str(caught.value) == told


@pytest.mark.parametrize(
    ("row", "prompt"),
    [
        ({"id": "7", "prompt": "q"}, "prompt"),
        ({"instruction": "q", "input": "", "kind": 1}, "instruction"),
        ({"question": "q", "source": "web", "lang": "en"}, "question"),
    ],
)
def test_a_question_alone_is_known_by_its_name(folder: Path, row: dict[str, Any], prompt: str) -> None:
    rows(folder / "mine.jsonl", row)
    entry = read_catalog(folder).entry("mine.jsonl")
    assert (entry.columns["prompt"], "response" in entry.columns) == (prompt, False)


def test_a_file_anywhere_is_a_set_and_that_of_an_entry_is_the_entry(folder: Path, tmp_path: Path) -> None:
    outside = rows(tmp_path / "outside.jsonl", {"question": "q", "answer": "a"})
    rows(folder / "x.jsonl", {"ask": "q", "say": "a"})
    info(folder, {"mine": {"file_name": "x.jsonl", "columns": {"prompt": "ask", "response": "say"}}})
    catalog = read_catalog(folder)
    assert catalog.entry("outside.jsonl").path == outside
    assert catalog.entry("x.jsonl").name == "mine"
    assert catalog.entry(str(folder / "x.jsonl")).name == "mine"
    assert len(open_rows(catalog.entry("outside.jsonl"))) == 1


def test_what_is_no_data_file(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("# notes")
    (folder / "broken.jsonl").write_text("{broken\n")
    catalog = read_catalog(folder)
    for name, told in (
        (
            "notes.md",
            "notes.md: the format is not known: finetui reads .json, .jsonl, .csv, .tsv, .txt, .parquet, .arrow",
        ),
        ("zzz.json", "there is no data set and no data file 'zzz.json': there are: none"),
        (
            "broken.jsonl",
            "data/broken.jsonl: no row can be read, the first because of this: broken JSON: "
            "Expecting property name enclosed in double quotes, at character 2: mend the line or take it out",
        ),
    ):
        with pytest.raises(DataError) as caught:
            catalog.entry(name)
        assert str(caught.value) == told


def test_a_folder_of_files_is_a_set_without_an_entry(folder: Path, tmp_path: Path) -> None:
    (folder / "many").mkdir()
    for name in ("a", "b"):
        rows(folder / "many" / f"{name}.jsonl", {"question": name, "answer": "x"})
    entry = read_catalog(folder).entry("data/many")
    assert (entry.name, entry.file_name) == ("many", "many")
    examples = open_examples(["data/many"], None, Workspace(tmp_path))
    assert [examples[number].messages[0].content for number in range(len(examples))] == ["a", "b"]


def test_files_that_no_entry_names(folder: Path) -> None:
    (folder / "sub").mkdir()
    for name in ("named.jsonl", "free.jsonl", "sub/inner.jsonl"):
        rows(folder / name, {"q": "x"})
    (folder / "README.md").write_text("no data")
    info(folder, {"named": {"file_name": "named.jsonl"}, "sub": {"file_name": "sub"}})
    assert [path.name for path in read_catalog(folder).unregistered()] == ["free.jsonl"]


# --- entering ----------------------------------------------------------------------------------------------------


def test_entering_keeps_every_byte_that_is_there(folder: Path) -> None:
    before = '{\n  "old": {"file_name":"old.json" ,  "columns":{"prompt":"x"}}\n}\n'
    info(folder, before)
    register(folder, DatasetEntry("new", folder, "new.jsonl"))
    after = (folder / "dataset_info.json").read_text()
    assert after.startswith(before.rstrip("}\n"))
    assert list(json.loads(after)) == ["old", "new"]


def test_a_name_is_entered_once_and_has_to_be_one(folder: Path) -> None:
    info(folder, {"x": {"file_name": "x.json"}})
    with pytest.raises(DataError) as caught:
        register(folder, DatasetEntry("x", folder, "y.json"))
    assert str(caught.value) == (
        "data/dataset_info.json has a data set 'x' already: give another name with --name, or take that entry out"
    )
    with pytest.raises(WorkspaceError, match="cannot be the name of a data set"):
        register(folder, DatasetEntry("a/b", folder, "y.json"))


def test_a_missing_file_names_the_nearest_and_an_empty_folder_says_what_is_read(folder: Path) -> None:
    rows(folder / "train.jsonl", {"q": "x"})
    (folder / "empty").mkdir()
    info(folder, {"x": {"file_name": "trian.jsonl"}, "y": {"file_name": "empty"}})
    catalog = read_catalog(folder)
    with pytest.raises(DataError, match=r"x: data/trian\.jsonl is missing: did you mean 'train\.jsonl'\?"):
        open_rows(catalog.entry("x"))
    with pytest.raises(DataError, match=r"y: the folder data/empty holds no data files: finetui reads \.json, "):
        open_rows(catalog.entry("y"))
