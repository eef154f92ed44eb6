"""The table of a pipeline's steps: how far each is, in its stage's own numbers."""

from __future__ import annotations

import re
from pathlib import Path

from core.config.pipeline_file import read_pipeline
from core.runs.events import Answered, StageChanged
from core.runs.history import History, read_history
from scripted_runs import BEGAN, ScriptedRun
from tui.cli.pipeline_table import pipeline_lines

FILE = """\
steps:
  sft: {seed: 1}
  rm: {stage: rm}
  ppo:
    stage: ppo
    adapter_name_or_path: ${sft}
    reward_model: ${rm}
  again:
    stage: ppo
    adapter_name_or_path: ${sft@40}
    reward_model: ${rm}
  compare:
    does: eval
    adapter_name_or_path: ${ppo},${ppo@10}
"""


def run_of(folder: Path, step: str) -> ScriptedRun:
    found = ScriptedRun(folder / step, total=100)
    found.start()
    found.ready()
    return found


def test_each_step_tells_what_its_stage_is_watched_by(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(FILE)
    sft, rm, ppo, compare = (run_of(tmp_path, name) for name in ("sft", "rm", "ppo", "compare"))
    sft.steps(10, 100)
    sft.finish()
    rm.step(20, 0.5, accuracy=0.875, margin=0.25)
    ppo.ppo_steps(10, 20)
    ppo.fail("the loss is no number", "")
    counts = {"part_done": 4, "part_total": 10, "done": 4, "total": 20}
    compare.tell(Answered(BEGAN, "ppo", **counts, elapsed=4.0, remaining=16.0))
    runs: dict[str, History | None] = {each.run.name: read_history(each.run) for each in (sft, rm, ppo, compare)}
    lines = list(pipeline_lines(read_pipeline(tmp_path / "p.yaml"), runs | {"again": None}))
    assert [re.split("  +", line) for line in lines] == [
        ["STEP", "WHAT", "STATE", "PROGRESS", "STANDS ON"],
        ["✓ sft", "train sft by lora", "finished", "100/100, loss 0.3333, 00:01:40"],
        ["▸ rm", "train rm by lora", "running", "20/100, loss 0.5000, accuracy 0.875, margin 0.25, ETA 00:01:20"],
        ["✗ ppo", "train ppo by lora", "failed", "20/100, reward -0.5, KL 0.8", "sft, rm"],
        ["· again", "train ppo by lora", "waits", "sft@40, rm"],
        ["▸ compare", "eval", "running", "4/20, ETA 00:00:16", "ppo, ppo@10"],
    ]
    loading = run_of(tmp_path, "loading")
    loading.tell(StageChanged(BEGAN, "loading"))
    assert "loading the model" in "\n".join(
        pipeline_lines(read_pipeline(tmp_path / "p.yaml"), {"sft": read_history(loading.run)})
    )
