"""Splits: shares of classes, seeds, and files that keep their rows' bytes."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from core.data.catalog import read_catalog
from core.data.rows import open_rows
from core.data.split import allocate, split_rows
from core.data.subsets import Subset, split_dataset
from core.errors import DataError
from core.workspace import Workspace

DATA = Path(__file__).parents[2] / "data"


def test_shares_are_kept_by_largest_remainders() -> None:
    assert allocate({"a": 50, "b": 30, "c": 20}, 10) == {"a": 5, "b": 3, "c": 2}
    assert allocate({"a": 47, "b": 16, "c": 37}, 10) == {"a": 5, "b": 1, "c": 4}  # remainders .7, .6 and .7
    assert allocate({"a": 1, "b": 1}, 0) == {"a": 0, "b": 0}
    assert allocate({}, 0) == {}


def test_every_class_has_a_row_where_there_are_rows_enough() -> None:
    rare = {"common": 990} | {f"rare {n}": 1 for n in range(10)}
    assert allocate(rare, 11) == dict.fromkeys(rare, 1)
    assert allocate(rare, 20) == {"common": 10} | {f"rare {n}": 1 for n in range(10)}
    assert allocate(rare, 5)["common"] == 5


def test_a_class_gives_no_more_than_it_has_left() -> None:
    assert allocate({"a": 8, "b": 2}, 5, room={"a": 3, "b": 2}) == {"a": 3, "b": 2}


def test_a_split_shares_no_row_keeps_the_classes_and_is_the_same_again() -> None:
    classes = [answer for answer, count in (("x", 600), ("y", 300), ("z", 100)) for _row in range(count)]
    drawn = split_rows(classes, 400, 100, stratify=True, seed=7)
    assert not set(drawn.train) & set(drawn.test)
    assert Counter(classes[row] for row in drawn.train) == {"x": 240, "y": 120, "z": 40}
    assert Counter(classes[row] for row in drawn.test) == {"x": 60, "y": 30, "z": 10}
    assert list(drawn.train) == sorted(drawn.train)
    assert split_rows(classes, 400, 100, stratify=True, seed=7) == drawn
    assert split_rows(classes, 400, 100, stratify=True, seed=8) != drawn


def test_the_rest_is_for_training_and_without_classes_chance_decides() -> None:
    drawn = split_rows([""] * 10, None, 3, stratify=False, seed=1)
    assert (len(drawn.train), len(drawn.test)) == (7, 3)
    assert sorted(drawn.train + drawn.test) == list(range(10))
    everything = split_rows(["a", "b", "b"], None, 0, stratify=True, seed=1)
    assert everything.train == (0, 1, 2)


@pytest.mark.parametrize(("train", "test"), [(9, 2), (None, 10), (11, 0)])
def test_more_rows_than_there_are(train: int | None, test: int) -> None:
    with pytest.raises(DataError, match=rf"{(train or 1) + test} rows were asked for, and the set has 10"):
        split_rows([""] * 10, train, test, stratify=False, seed=0)


@pytest.mark.parametrize(("train", "test"), [(0, 1), (-1, 0), (1, -1)])
def test_numbers_that_make_no_sense(train: int, test: int) -> None:
    with pytest.raises(DataError, match="at least one row to train on"):
        split_rows([""] * 10, train, test, stratify=True, seed=0)


# --- files ------------------------------------------------------------------------------------------------------


def workspace_with(tmp_path: Path, name: str, content: str | bytes, **entry: Any) -> Workspace:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    info = {"mine": {"file_name": name, **entry}, "other": {"file_name": "other.json"}}
    (tmp_path / "data/dataset_info.json").write_text(json.dumps(info))
    return Workspace(tmp_path)


def names(subsets: tuple[Subset, ...]) -> list[str]:
    return [subset.entry.name for subset in subsets]


def test_the_telecom_split_of_the_seed(tmp_path: Path) -> None:
    source = (DATA / "telecom_train_5000.jsonl").read_bytes()
    workspace = workspace_with(tmp_path, "telecom_all.jsonl", source)
    made = split_dataset("telecom_all", workspace, train=400, test=100, stratify=True, seed=1, stem="telecom")
    assert [(subset.entry.name, subset.rows, subset.classes) for subset in made] == [
        ("telecom_train_400", 400, 40),
        ("telecom_test_100", 100, 40),
    ]
    train, test = ((workspace.data / subset.entry.file_name).read_bytes().splitlines() for subset in made)
    assert not set(train) & set(test)
    assert set(train) < set(source.splitlines())  # not one byte of a row is another
    whole, part = (Counter(json.loads(line)["output"] for line in lines) for lines in (source.splitlines(), train))
    assert all(abs(part[answer] - count * 400 / 5000) <= 1 for answer, count in whole.items())
    catalog = read_catalog(workspace.data)
    assert list(catalog.entries) == ["mine", "other", "telecom_train_400", "telecom_test_100"]
    assert len(open_rows(catalog.entry("telecom_test_100"))) == 100


def test_an_array_stays_one_and_odd_spacing_stays_odd(tmp_path: Path) -> None:
    rows = [f'{{"instruction":  "q{n}",\n "output": "{n % 2}"}}' for n in range(6)]
    workspace = workspace_with(tmp_path, "a.json", "[" + " ,\n".join(rows) + "]")
    made = split_dataset("mine", workspace, train=4, test=2, stratify=True, seed=0)
    assert names(made) == ["mine_train_4", "mine_test_2"]
    text = (workspace.data / "mine_train_4.json").read_text()
    assert [row["output"] for row in json.loads(text)].count("1") == 2
    assert sum(row in text for row in rows) == 4


def test_csv_keeps_its_header_and_its_empty_last_cells(tmp_path: Path) -> None:
    workspace = workspace_with(tmp_path, "a.csv", 'instruction,output,input\r\n"a\nb",x,\r\nc,y,\r\n')
    (made,) = split_dataset("mine", workspace, train=None, test=0)
    assert made.entry.path.read_text() == 'instruction,output,input\n"a\nb",x,\nc,y,\n'
    assert open_rows(made.entry)[1][0] == {"instruction": "c", "output": "y", "input": ""}


def test_columns_and_ranking_go_along_but_not_what_counts_for_the_old_file(tmp_path: Path) -> None:
    rows = "".join(json.dumps({"ask": f"q{n}", "answers": ["good", f"bad {n}"]}) + "\n" for n in range(4))
    columns = {"prompt": "ask", "response": "answers"}
    workspace = workspace_with(tmp_path, "a.jsonl", rows, ranking=True, columns=columns, num_samples=4, split="x")
    made = split_dataset("mine", workspace, train=2, test=0, stratify=True, seed=0)
    info = json.loads((workspace.data / "dataset_info.json").read_bytes())
    assert info["mine_train_2"] == {"file_name": "mine_train_2.jsonl", "ranking": True, "columns": columns}
    assert names(made) == ["mine_train_2"]


def test_a_set_that_was_a_part_gives_parts_of_the_same_stem(tmp_path: Path) -> None:
    rows = '{"instruction": "q", "output": "a"}\n' * 4
    workspace = workspace_with(tmp_path, "a.jsonl", rows)
    (workspace.data / "qa_train_9.jsonl").write_text(rows)
    assert names(split_dataset("qa_train_9", workspace, train=2, test=1)) == ["qa_train_2", "qa_test_1"]


def test_rows_that_cannot_be_trained_on_are_in_no_part(tmp_path: Path) -> None:
    good = '{"instruction": "q", "output": "a"}\n'
    workspace = workspace_with(tmp_path, "a.jsonl", good * 3 + "{broken\n" + good * 2)
    (made,) = split_dataset("mine", workspace, train=None, test=0)
    assert (made.rows, made.entry.path.read_text()) == (5, good * 5)


def test_without_classes_their_shares_cannot_be_kept(tmp_path: Path) -> None:
    rows = "".join(json.dumps({"instruction": f"q{n}", "output": f"an answer like {n} other"}) + "\n" for n in range(9))
    workspace = workspace_with(tmp_path, "a.jsonl", rows.replace("an answer like ", ""))
    with pytest.raises(DataError, match="its answers do not repeat") as caught:
        split_dataset("mine", workspace, train=4, test=0, stratify=True)
    assert caught.value.hint == "leave --stratify out"


def test_the_bundled_telecom_is_split_as_the_seed_did_it_with_names_of_its_own(tmp_path: Path) -> None:
    shutil.copytree(DATA, tmp_path / "data")
    workspace = Workspace(tmp_path)
    made = split_dataset("telecom", workspace, train=400, test=100, stratify=True)
    assert {subset.source for subset in made} == {"telecom_train_5000"}
    assert names(made) == ["telecom_2_train_400", "telecom_2_test_100"]
    assert [subset.rows for subset in made] == [400, 100]
    again = split_dataset("telecom", workspace, train=400, test=0)
    assert names(again) == ["telecom_3_train_400"]
    # What is there keeps its meaning: a set of that name, and a file.
    (workspace.data / "telecom.jsonl").write_text('{"instruction": "q", "output": "a"}\n')
    (only,) = split_dataset("telecom", workspace, train=None, test=0)
    assert (only.source, only.rows, only.entry.name) == ("telecom", 1, "telecom_train_1")


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    workspace = workspace_with(tmp_path, "a.jsonl", '{"instruction": "q", "output": "a"}\n' * 4)
    (workspace.data / "mine_train_2.jsonl").write_text("precious too")
    assert names(split_dataset("mine", workspace, train=2, test=1)) == ["mine_2_train_2", "mine_2_test_1"]
    assert (workspace.data / "mine_train_2.jsonl").read_text() == "precious too"
    (workspace.data / "mine_train_2.jsonl").unlink()
    (workspace.data / "mine_test_1.jsonl").write_text("precious")
    with pytest.raises(DataError, match=r"mine_test_1\.jsonl: there is a 'mine_test_1' already") as caught:
        split_dataset("mine", workspace, train=2, test=1, stem="mine")
    assert "--name" in caught.value.hint
    assert not (workspace.data / "mine_train_2.jsonl").exists()
    info = {"mine": {"file_name": "a.jsonl"}, "mine_train_2": {"file_name": "gone.jsonl"}}
    (workspace.data / "dataset_info.json").write_text(json.dumps(info))
    with pytest.raises(DataError, match=r"dataset_info\.json: there is a 'mine_train_2' already"):
        split_dataset("mine", workspace, train=2, test=0, stem="mine")
