"""The same request has the same tokens in a chat, in an evaluation and in a training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conversations import load

from core.chat.message import Message
from core.config.evaluation import EVALUATION
from core.config.load import load as load_options
from core.config.training import TRAINING
from core.engine.evaluating.speaking import Speaking
from core.engine.evaluating.test_set import open_test_sets
from core.engine.template import prepared
from core.engine.training.data import open_data
from core.serve.protocol import Generate, Row, Sampling
from core.workspace import Workspace
from training_runs import make_workspace

LINES = [
    {"instruction": "What is it?", "input": "Say.", "output": "A cat. "},
    {"instruction": "你好，你是谁？", "output": "我是助手。", "history": [["Hi", "Hello"], ["And?", "So."]]},
    {"instruction": "  spaces ", "output": "\tkept\n", "system": "Be brief."},
]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    made = make_workspace(tmp_path_factory.mktemp("workspace"))
    (made.data / "mixed.jsonl").write_text("".join(json.dumps(line) + "\n" for line in LINES))
    columns = {
        "prompt": "instruction",
        "query": "input",
        "response": "output",
        "history": "history",
        "system": "system",
    }
    info = {"mixed": {"file_name": "mixed.jsonl", "columns": columns}}
    (made.data / "dataset_info.json").write_text(json.dumps(info))
    return made


@pytest.mark.parametrize("template", ["auto", "default", "qwen", "chatglm3", "llama3"])
@pytest.mark.parametrize("around", [{}, {"default_system": "You are kind.", "source_prefix": "Q: "}])
def test_one_request_one_prompt(workspace: Workspace, template: str, around: dict[str, str]) -> None:
    model: Path = workspace.models / "tiny"
    values: dict[str, Any] = {"dataset": ("mixed",), "template": template, "model_name_or_path": "tiny", **around}
    training = load_options(TRAINING, values={**values, "cutoff_len": 512, "probe_max_new_tokens": 0})
    trained = open_data(training, model, workspace).rows
    (tests,) = open_test_sets(load_options(EVALUATION, values=values), workspace)
    chat = load(model, template=template)
    speaking = Speaking(chat, None, around.get("default_system", ""), around.get("source_prefix"))
    for number, row in enumerate(tests.rows):
        evaluated = speaking.prompt(row, 16).ids
        read = trained.row(number)
        end = int(read.trained.nonzero()[0][-1]) + 1  # a line break may follow that no answer ends with
        answer = end - read.trained[:end][::-1].tolist().index(False)
        assert tuple(read.ids[:answer].tolist()) == evaluated
        asked = tuple(prepared(row.messages, around.get("default_system", ""), around.get("source_prefix", "")))
        request = Generate(1, (Row(asked),), Sampling(max_new_tokens=16))
        assert chat._prompt(request.rows[0], request).ids == evaluated
        target = speaking.target(number, row, ())
        assert target is not None
        assert (target.ids, target.start) == (tuple(read.ids[:end].tolist()), answer)
    assert [row.label for row in tests.rows] == [line["output"] for line in LINES]
    assert tests.rows[1].messages[0] == Message("user", "Hi")
