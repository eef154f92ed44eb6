"""The bundled sets: made by their script, free of problems, and what their README says of them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from core.data.catalog import read_catalog
from core.data.checks import check
from core.data.rows import open_rows
from core.workspace import Workspace

DATA = Path(__file__).parents[2] / "data"
NAMES = list(read_catalog(DATA).entries)
TELECOM = [name for name in NAMES if name.startswith("telecom")]


def rows(name: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (DATA / f"{name}.jsonl").read_bytes().splitlines()]


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_wrong_with_any_set(name: str) -> None:
    assert check([name], None, Workspace(DATA.parent)).problems == ()


def test_the_readme_counts_right() -> None:
    for line in (DATA / "README.md").read_text().splitlines():
        names = re.findall(r"`(\w+)`", line.split("|")[1]) if line.startswith("| `") else []
        told = [int(count.replace(",", "")) for count in line.split("|")[2].split(", ")] if names else []
        assert [len(open_rows(read_catalog(DATA).entry(name))) for name in names] == told


def test_the_script_makes_the_telecom_sets_to_the_byte(tmp_path: Path) -> None:
    command = [sys.executable, str(DATA / "make_telecom.py"), str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True, cwd=DATA.parent)
    assert {path.stem: path.read_bytes() for path in tmp_path.iterdir()} == {
        name: (DATA / f"{name}.jsonl").read_bytes() for name in TELECOM
    }


def test_telecom_is_what_the_experiment_had() -> None:
    train, test = rows("telecom_train_5000"), rows("telecom_test_100")
    answers = {row["output"] for row in train}
    assert len(answers) == 40
    assert "取消方式_68" in answers
    assert {row["output"] for row in test} == answers
    assert not {row["instruction"] for row in test} & {row["instruction"] for row in train}
    for name in TELECOM:
        long = [row for row in rows(name) if len(row["output"]) > 10]
        assert 0.2 < len(long) / len(rows(name)) < 0.3
    unseen = [row for row in test if any(word in row["instruction"] for word in ("海豚影音", "布谷电台", "云杉课堂"))]
    assert unseen
    assert not any("海豚影音" in row["instruction"] for row in train)
    assert {json.dumps(row) for row in rows("telecom_train_400")} < {json.dumps(row) for row in train}


def test_the_introduction_gives_one_name_in_two_languages() -> None:
    introduction = rows("self_introduction")
    named = [row for row in introduction if "Lumifin" in row["target"]]
    chinese = [row for row in named if not row["context"].isascii()]
    assert 0.8 < len(named) / len(introduction) < 0.95  # the rest keeps the model's head
    assert 30 < len(chinese) < len(named) - 30


def test_of_two_answers_the_better_is_not_always_the_longer() -> None:
    shorter = sum(len(row["output"][0]) < len(row["output"][1]) for row in rows("comparison_en"))
    assert shorter >= 5
