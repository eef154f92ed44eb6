"""What leaves a conversation for training: rows of data sets, and preferences."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from core.chat.export import append_to_dataset
from core.chat.message import Message
from core.chat.preferences import append_preference, drop_preferences
from core.errors import FinetuiError, WorkspaceError

SYSTEM = Message("system", "Be brief.")
EXCHANGE = (Message("user", "q1"), Message("assistant", "a1"))
LONGER = (SYSTEM, *EXCHANGE, Message("user", "q2"), Message("assistant", "a2"))
TAGS = {
    "role_tag": "role",
    "content_tag": "content",
    "user_tag": "user",
    "assistant_tag": "assistant",
    "system_tag": "system",
}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def put(folder: Path, name: str, value: object, **how: Any) -> Path:
    path = folder / name
    path.write_text(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, **how))
    return path


def info(data: Path) -> Any:
    return json.loads((data / "dataset_info.json").read_text())


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def messages(*pairs: tuple[str, str]) -> list[dict[str, str]]:
    return [{"role": role, "content": content} for role, content in pairs]


# --- data sets --------------------------------------------------------------------------------------------------


def test_a_new_data_set_is_made_and_entered(tmp_path: Path) -> None:
    data = tmp_path / "data"
    path = append_to_dataset(data, "mine", LONGER)
    assert path == append_to_dataset(data, "mine", EXCHANGE) == data / "mine.jsonl"
    assert lines(path) == [
        {
            "messages": messages(
                ("system", "Be brief."), ("user", "q1"), ("assistant", "a1"), ("user", "q2"), ("assistant", "a2")
            )
        },
        {"messages": messages(("user", "q1"), ("assistant", "a1"))},
    ]
    entry = {"file_name": "mine.jsonl", "formatting": "sharegpt", "columns": {"messages": "messages"}, "tags": TAGS}
    assert info(data) == {"mine": entry}


def test_foreign_entries_keep_their_bytes(data: Path) -> None:
    foreign = '{\n    "other" : {"file_name":"other.csv",  "columns": {"prompt":"内容"}}\n}'
    put(data, "dataset_info.json", foreign)
    append_to_dataset(data, "mine", EXCHANGE)
    text = (data / "dataset_info.json").read_text()
    assert text.startswith(foreign[:-2] + ',\n  "mine": {\n    "file_name": "mine.jsonl",')
    assert list(info(data)) == ["other", "mine"]
    append_to_dataset(data, "mine", EXCHANGE)
    assert (data / "dataset_info.json").read_text() == text
    assert sorted(path.name for path in data.iterdir()) == ["dataset_info.json", "mine.jsonl"]


@pytest.mark.parametrize(
    ("entry", "exchange", "row"),
    [
        ({}, EXCHANGE, {"instruction": "q1", "input": "", "output": "a1"}),
        (
            {"columns": {"prompt": "content", "response": "summary"}},
            EXCHANGE,
            {"content": "q1", "summary": "a1"},
        ),
        (
            {"columns": {"prompt": "p", "query": None, "response": "r", "history": "h", "system": "s"}},
            LONGER,
            {"p": "q2", "r": "a2", "h": [["q1", "a1"]], "s": "Be brief."},
        ),
        (
            {"formatting": "sharegpt", "columns": {"messages": "conversations", "system": "system"}},
            (SYSTEM, *EXCHANGE),
            {
                "system": "Be brief.",
                "conversations": [{"from": "human", "value": "q1"}, {"from": "gpt", "value": "a1"}],
            },
        ),
        (
            {"formatting": "sharegpt", "tags": {"user_tag": "用户"}},
            (SYSTEM, *EXCHANGE),
            {
                "conversations": [
                    {"from": "system", "value": "Be brief."},
                    {"from": "用户", "value": "q1"},
                    {"from": "gpt", "value": "a1"},
                ]
            },
        ),
        (
            {"formatting": "openai", "columns": {"messages": "messages"}},
            EXCHANGE,
            {"messages": messages(("user", "q1"), ("assistant", "a1"))},
        ),
    ],
)
def test_a_row_has_the_sets_own_format(
    data: Path, entry: dict[str, Any], exchange: Sequence[Message], row: dict[str, Any]
) -> None:
    put(data, "dataset_info.json", {"mine": {"file_name": "rows.json", **entry}})
    for name, before in (("rows.json", "[]"), ("rows.json", '{"x":1}')):
        path = put(data, name, before)
        assert append_to_dataset(data, "mine", exchange) == path
        text = path.read_text()
        assert (json.loads(text) if before == "[]" else lines(path)[1:]) == [row]


@pytest.mark.parametrize("before", ['[\n  {"instruction": "x",   "output": "你好"}\n]\n', '\ufeff[{"output":"y"}]'])
def test_an_array_keeps_the_bytes_of_its_rows(data: Path, before: str) -> None:
    put(data, "dataset_info.json", {"mine": {"file_name": "mine.json"}})
    path = put(data, "mine.json", before)
    path.chmod(0o640)
    append_to_dataset(data, "mine", EXCHANGE)
    text = path.read_text()
    assert text.startswith(before.rstrip()[:-1].rstrip() + ",\n")
    assert json.loads(text.encode())[1] == {"instruction": "q1", "input": "", "output": "a1"}
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    ("name", "content", "columns"),
    [
        ("mine.json", [{"instruction": "", "input": "", "output": "", "history": []}], {"history": "history"}),
        ("mine.jsonl", {"conversations": [], "system": ""}, {"messages": "conversations", "system": "system"}),
        ("mine.jsonl", {"messages": [], "id": 7}, {"messages": "messages"}),
    ],
)
def test_a_file_without_an_entry_gets_the_one_that_fits(data: Path, name: str, content: object, columns: Any) -> None:
    put(data, name, content)
    assert append_to_dataset(data, "mine", (*EXCHANGE, *EXCHANGE)) == data / name
    assert info(data)["mine"]["file_name"] == name
    assert info(data)["mine"]["columns"].items() >= columns.items()


@pytest.mark.parametrize(
    ("files", "exchange", "told"),
    [
        ({"dataset_info.json": "{oops"}, EXCHANGE, "dataset_info.json:1: no JSON"),
        ({"dataset_info.json": "[]"}, EXCHANGE, "expected an object with one object for each data set"),
        ({"dataset_info.json": '{"mine": {"file_name": "mine.csv"}}'}, EXCHANGE, "is not one JSON file"),
        ({"dataset_info.json": '{"mine": {"hf_hub_url": "a/b"}}'}, EXCHANGE, "is not one JSON file"),
        ({"dataset_info.json": '{"mine": {"file_name": "m.json", "ranking": true}}'}, EXCHANGE, "holds preferences"),
        ({"dataset_info.json": '{"mine": {"file_name": "m.json"}}'}, LONGER, "has no column for the system"),
        ({"dataset_info.json": '{"mine": {"file_name": "m.json"}}'}, LONGER[1:], "has no column for the history"),
        ({"mine.json": '[{"a": 1},\n oops]'}, EXCHANGE, "mine.json:2: no JSON"),
        ({"mine.jsonl": '{"prompt": 1, "label": 2}\n'}, EXCHANGE, "is not known (columns: prompt, label)"),
        ({"mine.jsonl": "\noops\n"}, EXCHANGE, "mine.jsonl:2: no JSON"),
        ({}, LONGER[:2], "no question has been answered yet"),
    ],
)
def test_what_cannot_be_appended_is_told_and_nothing_changes(
    data: Path, files: dict[str, str], exchange: Sequence[Message], told: str
) -> None:
    for name, text in files.items():
        put(data, name, text)
    with pytest.raises(FinetuiError) as raised:
        append_to_dataset(data, "mine", exchange)
    assert told in raised.value.message
    assert {path.name: path.read_text() for path in data.iterdir()} == files


@pytest.mark.parametrize("name", ["", "../mine", "a/b", ".hidden", "a,b", "a\x1b[31m", "-x"])
def test_a_name_that_is_no_file_name_is_refused(data: Path, name: str) -> None:
    with pytest.raises(WorkspaceError, match="cannot be the name of a data set"):
        append_to_dataset(data, name, EXCHANGE)
    assert list(data.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    put(tmp_path, "data", "a file")
    with pytest.raises(WorkspaceError, match="the data set cannot be written: File exists"):
        append_to_dataset(tmp_path / "data", "mine", EXCHANGE)


def test_two_apps_at_once_lose_no_row_and_no_entry(data: Path) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "from core.chat.export import append_to_dataset; from core.chat.message import Message\n"
        "data = Path(sys.argv[1]); data.joinpath('array.json').touch()\n"
        "for i in range(15):\n"
        "    exchange = (Message('user', f'{sys.argv[2]} {i}'), Message('assistant', 'a'))\n"
        "    append_to_dataset(data, 'array', exchange)\n"
        "    append_to_dataset(data, f'{sys.argv[2]}{i}', exchange)\n"
    )
    put(data, "array.json", [{"instruction": "", "output": ""}])
    others = [subprocess.Popen([sys.executable, "-c", program, str(data), name]) for name in ("left", "right")]
    assert [other.wait() for other in others] == [0, 0]
    asked = {row["instruction"] for row in json.loads((data / "array.json").read_text())}
    assert asked == {"", *(f"{name} {i}" for name in ("left", "right") for i in range(15))}
    assert len(info(data)) == 31


# --- preferences ------------------------------------------------------------------------------------------------


def test_the_better_answer_becomes_a_row_of_a_ranking_set(data: Path) -> None:
    path = data / "preferences.jsonl"
    prompt = (SYSTEM, *EXCHANGE, Message("user", "q2"))
    append_preference(path, prompt, "better", "worse", {"chosen": "smol + tuned", "rejected": "smol"})
    append_preference(path, prompt[-1:], "\x1b[31m好", "worse")
    assert lines(path) == [
        {
            "prompt": messages(("system", "Be brief."), ("user", "q1"), ("assistant", "a1"), ("user", "q2")),
            "chosen": {"role": "assistant", "content": "better"},
            "rejected": {"role": "assistant", "content": "worse"},
            "meta": {"chosen": "smol + tuned", "rejected": "smol"},
        },
        {
            "prompt": messages(("user", "q2")),
            "chosen": {"role": "assistant", "content": "\x1b[31m好"},
            "rejected": {"role": "assistant", "content": "worse"},
        },
    ]
    assert info(data) == {
        "preferences": {
            "file_name": "preferences.jsonl",
            "formatting": "sharegpt",
            "ranking": True,
            "columns": {"messages": "prompt", "chosen": "chosen", "rejected": "rejected"},
            "tags": TAGS,
        }
    }


@pytest.mark.parametrize(
    ("prompt", "chosen", "rejected", "told"),
    [
        (EXCHANGE[:1], "same", "same", "there is no better one to keep"),
        (EXCHANGE[:1], "better", " \n", "there is no better one to keep"),
        (EXCHANGE, "better", "worse", "a preference needs a question"),
        ((), "better", "worse", "a preference needs a question"),
    ],
)
def test_no_preference_without_a_difference(
    data: Path, prompt: Sequence[Message], chosen: str, rejected: str, told: str
) -> None:
    with pytest.raises(WorkspaceError, match=told):
        append_preference(data / "preferences.jsonl", prompt, chosen, rejected)
    assert list(data.iterdir()) == []


def test_preferences_are_taken_back_by_their_origin_and_nothing_else_is_touched(tmp_path: Path) -> None:
    path = tmp_path / "preferences.jsonl"
    prompt = [Message("user", "q")]
    append_preference(path, prompt, "a", "b", {"conversation": "one", "question": "1"})
    path.write_bytes(path.read_bytes() + b"a line of somebody else\n")
    append_preference(path, prompt, "c", "d", {"conversation": "one", "question": "2"})
    append_preference(path, prompt, "e", "f")
    assert drop_preferences(path, conversation="one", question="1") == 1
    assert drop_preferences(path, conversation="one", question="1") == 0
    lines = path.read_text().splitlines()
    assert lines[0] == "a line of somebody else"
    assert [json.loads(line)["chosen"]["content"] for line in lines[1:]] == ["c", "e"]
    assert drop_preferences(tmp_path / "none.jsonl", conversation="one") == 0
