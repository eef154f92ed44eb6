"""A training, its evaluation and the reading of it, by a person's commands on the real default model.

What is tested is not what was trained: every fourth row of the self-introduction set is kept out. About 45 seconds of
one core.
"""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from core.report.store import read_report
from core.workspace import Workspace, init_workspace
from finetui_app import FINETUI, INPUT, start_finetui

pytestmark = pytest.mark.slow
TRAIN = {
    "dataset": "intro_train.jsonl",
    "learning_rate": "2e-3",
    "lr_scheduler_type": "constant_with_warmup",
    "warmup_steps": "2",
    "max_steps": "16",
    "per_device_train_batch_size": "4",
    "probe_max_new_tokens": "0",
    "save_strategy": "no",
    "plot_loss": "false",
}
EVALUATE = {"dataset": "intro_test.jsonl", "max_new_tokens": "20", "bootstrap": "500"}
BASE, TUNED = "judged/parts/base", "judged/parts/intro"


def finetui(workspace: Workspace, *words: str, **options: str) -> str:
    """A command's output."""
    typed = [word for name, value in options.items() for word in (f"--{name}", value)]
    home = workspace.root.parent
    own = {"HOME": str(home), "HF_HOME": str(home / "huggingface"), "FINETUI_LOCKS": str(home / "locks")}
    environment = {**os.environ, **own, "FINETUI_WORKSPACE": str(workspace.root), "OMP_NUM_THREADS": "2"}
    command = [str(FINETUI), *words, *typed]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=workspace.root)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory, default_model: Path) -> Workspace:
    """The base and its adapter, evaluated."""
    workspace = init_workspace(tmp_path_factory.mktemp("journey") / "ws")[0]
    (workspace.models / "base").symlink_to(default_model)
    lines = (workspace.data / "self_introduction.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    kept_out = lines[::4]
    (workspace.data / "intro_test.jsonl").write_text("".join(kept_out), encoding="utf-8")
    trained = [line for line in lines if line not in kept_out]
    (workspace.data / "intro_train.jsonl").write_text("".join(trained), encoding="utf-8")
    finetui(workspace, "train", model="base", output_dir="intro", **TRAIN)
    finetui(workspace, "eval", "--include_base", model="base", adapter="intro", output_dir="judged", **EVALUATE)
    return workspace


def test_the_adapter_is_ahead_by_more_than_chance_on_rows_that_it_has_not_seen(judged: Workspace) -> None:
    record: dict[str, Any] = json.loads(finetui(judged, "compare", BASE, TUNED, "--json"))
    (against,) = record["against"]
    for metric in ("bleu-4", "rouge-1", "edit_similarity"):
        assert against["deltas"][metric]["low"] > 0
        assert against["deltas"][metric]["delta"] > 10
        assert against["deltas"][metric]["better"] is True
    base, tuned = (read_report(judged.runs / name) for name in (BASE, TUNED))
    assert (base.answered, tuned.answered, tuned.failed) == (26, 26, 0)
    assert (base.subject.name, tuned.subject.name, tuned.subject.adapter) == ("base", "intro", "intro")
    assert tuned.subject.method == "lora"
    assert tuned.subject.dtype == "float32"
    assert (tuned.data.seen_in_training, tuned.data.training_sets) == (0, ("intro_train.jsonl",))
    assert base.data.seen_in_training is None
    assert tuned.values["truncated"].value < base.values["truncated"].value


def test_the_table_and_the_report_open_in_the_app(judged: Workspace) -> None:
    tuned = read_report(judged.runs / TUNED)
    with start_finetui(judged.root) as app:
        app.wait_for(INPUT)
        app.press("f4")
        app.wait_for("ROUGE-L")
        table = app.wait_for("intro_test")
        for report in (tuned, read_report(judged.runs / BASE)):
            assert f"{report.values['bleu-4'].value:.2f}" in table
        app.press("enter")
        shown = app.wait_for("worst first")
        assert "intro · intro_test" in shown
        assert f"BLEU-4 {tuned.values['bleu-4'].value:.1f}" in shown
        app.press("ctrl+q")
        app.assert_ends(0)


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")
def test_the_page_opens_in_a_browser_and_shows_the_numbers(judged: Workspace, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    finetui(judged, "report", TUNED, format="html", output=str(page))
    browser = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    dumped = subprocess.run([*browser, "--dump-dom", page.as_uri()], capture_output=True, text=True, check=True).stdout
    text = html.unescape(re.sub(r"<[^>]*>", " ", dumped))
    tuned = read_report(judged.runs / TUNED)
    for name in ("bleu-4", "rouge-l", "exact_match"):
        assert f"{tuned.values[name].value:.2f}" in text
    assert "Who are you?" in text
    assert str(tuned.data.sha256)[:12] in text
