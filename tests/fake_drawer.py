"""An evaluator in plain Python for preference pairs: draws whatever answers the prompts' numbers ask for.

    fake_drawer.py RUN_DIR [--resume]

`COMMAND`, as JSON in FINETUI_EVALUATOR_COMMAND, has it started instead of the engine. Prompts whose numbers stand in
FAKE_ALIKE are answered alike by everybody, until the seed is another; those in FAKE_SAME always are, and those in
FAKE_EMPTY with nothing. FAKE_END (finish, fail, wait) says how it ends, as in `fake_evaluator`. A reward model prefers
second answers; it finds those to prompt 1 as good as the first.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

from core.report.files import append_prediction, read_journal
from core.report.layout import PartFiles, PlannedPart
from core.report.prediction import Prediction
from core.report.store import write_parts
from fake_evaluator import Diary, early_end, write

COMMAND = [sys.executable, "-S", __file__]
FIRST_SEED = 42


def main() -> None:
    draw_all(Path(sys.argv[1]), "finish" if "--resume" in sys.argv else os.environ.get("FAKE_END", "finish"))


def draw_all(run: Path, end: str = "finish") -> None:
    """Draw what a run's folder asks for."""
    subjects, options = json.loads((run / "launch.json").read_bytes())["subjects"], Options(run / "config.yaml")
    rows = len(options.prompts) * options.repeats
    parts = [
        PlannedPart(f"{subject} · prompts", "." if len(subjects) == 1 else f"part-{number}", subject, "prompts", rows)
        for number, subject in enumerate(subjects)
    ]
    write_parts(run, parts)
    diary = Diary(run, total=rows * len(parts))
    diary.tell("stage_changed", stage="answering")
    for number, part in enumerate(parts):
        draw(run, part, number, options, diary, end)
    diary.tell("run_finished", reason="completed", step=diary.done, metrics={})


class Options:
    """What a run's options say, of one YAML line each."""

    def __init__(self, config: Path) -> None:
        text = config.read_text()
        self.repeats, self.seed = (int(_value(text, name)) for name in ("repeats", "seed"))
        self.rewarded = _value(text, "reward_model") != "null"
        (path,) = json.loads(_value(text, "dataset"))
        lines = [json.loads(line) for line in Path(path).read_text().splitlines()]
        self.prompts = [line["id"] for line in lines]


def _value(text: str, name: str) -> str:
    found = re.search(rf"^{name}: (.*?)  #", text, re.MULTILINE)
    assert found is not None
    return found[1]


def draw(run: Path, part: PlannedPart, number: int, options: Options, diary: Diary, end: str) -> None:
    """Answer what is not answered yet, and write the report."""
    files = PartFiles(run / part.folder)
    files.folder.mkdir(exist_ok=True)
    kept = read_journal(files.journal)
    for row, prompt in enumerate(options.prompts):
        for repeat in range(options.repeats):
            if (row, repeat) not in kept:
                append_prediction(files.journal, answer(row, repeat, prompt, part.subject, options))
            diary.done += 1
            diary.answered(part, diary.done)
        if row + 1 >= len(options.prompts) // 2:
            early_end(run, diary, end)
    write(files, part, list(read_journal(files.journal).values()), number)


def answer(row: int, repeat: int, prompt: str, subject: str, options: Options) -> Prediction:
    text = f"{subject} to {prompt}: {options.seed}.{repeat}"
    if _is_among("FAKE_SAME", prompt) or (_is_among("FAKE_ALIKE", prompt) and options.seed == FIRST_SEED):
        text = "always this"
    if _is_among("FAKE_EMPTY", prompt):
        text = " \n"
    reward = (1.0 if prompt == "1" else repeat + 0.5) if options.rewarded else None
    return Prediction("?", text, "label", prompt, row, repeat, finish_reason="stop", tokens=10, reward=reward)


def _is_among(variable: str, prompt: str) -> bool:
    return prompt in os.environ.get(variable, "").split(",")


if __name__ == "__main__":
    main()
