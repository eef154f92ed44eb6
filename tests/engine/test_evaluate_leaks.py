"""What a report says of its numbers: questions that were trained on, and how questions are put."""

from __future__ import annotations

import json
from typing import Any

from evaluation_runs import add_set, evaluate_here

from core.engine.evaluating.answering import split_thinking
from core.workspace import Workspace
from tiny_models import CHATML, make_model
from training_runs import train_here


def test_test_questions_that_were_trained_on_are_counted(workspace: Workspace) -> None:
    train_here(workspace, "trained", max_steps=1, max_samples=10)
    mixed = [{"instruction": f"What is number {i}?", "output": "?"} for i in (2, 9, 10, 99)]
    add_set(workspace, "leaky", mixed)
    found = evaluate_here(workspace, "leaky", adapter_name_or_path=("trained",), dataset=("leaky",)).report()
    assert (found.data.seen_in_training, found.data.training_sets) == (2, ("colours",))
    assert not any("training data" in note for note in found.notes)  # said by those who show the count, once

    info = workspace.data / "dataset_info.json"
    entries = json.loads(info.read_text())
    info.write_text(json.dumps({name: entry for name, entry in entries.items() if name != "colours"}))
    try:
        (workspace.data / "colours.json").rename(workspace.data / "hidden.txt")
        gone = evaluate_here(workspace, "leaky-gone", adapter_name_or_path=("trained",), dataset=("leaky",)).report()
    finally:
        info.write_text(json.dumps(entries))
        (workspace.data / "hidden.txt").rename(workspace.data / "colours.json")
    assert gone.data.seen_in_training is None
    assert "whether its questions were trained on is not known: colours cannot be read any more" in gone.notes


def test_an_earlier_turn_of_a_trained_conversation_is_a_trained_question(workspace: Workspace) -> None:
    add_set(workspace, "turns", [{"instruction": "And then?", "output": "b", "history": [["First?", "a"]]}])
    train_here(workspace, "on-turns", max_steps=1, dataset=("turns",))
    add_set(workspace, "asked", [{"instruction": asked, "output": "?"} for asked in ("First?", "And then?")])
    found = evaluate_here(workspace, "turned", adapter_name_or_path=("on-turns",), dataset=("asked",)).report()
    assert found.data.seen_in_training == 1


def test_what_is_put_around_a_question_is_the_users_before_the_adapters(workspace: Workspace) -> None:
    around: dict[str, Any] = {"default_system": "Be kind.", "source_prefix": "Q: "}
    train_here(workspace, "mannered", max_steps=1, **around)
    tuned: dict[str, Any] = {"adapter_name_or_path": ("mannered",), "max_samples": 1}
    own = evaluate_here(workspace, "manner-own", **tuned)
    given = evaluate_here(workspace, "manner-given", **tuned, default_system="Be brief.", source_prefix="Ask: ")
    ask = "<|im_start|>system\n{}<|im_end|>\n<|im_start|>user\n{}What is number 0?<|im_end|>\n<|im_start|>assistant\n"
    assert own.rows()[0].prompt == ask.format("Be kind.", "Q: ")
    assert given.rows()[0].prompt == ask.format("Be brief.", "Ask: ")
    assert any("it is asked under its system prompt: Be kind." in warning for warning in own.warnings)


def test_an_answer_that_a_template_begins_with_thinking_is_taken_apart(workspace: Workspace) -> None:
    opens = CHATML.replace("<|im_start|>assistant\n{% endif %}", "<|im_start|>assistant\n<think>\n{% endif %}")
    make_model(workspace.models / "thinker", "llama", chat_template=opens)
    (row,) = evaluate_here(workspace, "thinking", model_name_or_path="thinker", max_samples=1).rows()
    assert row.prompt.endswith("assistant\n<think>\n")
    assert (row.predict, bool(row.thinking)) == ("", True)  # it never came to an end


def test_thinking_is_no_part_of_an_answer() -> None:
    assert split_thinking("<think>\nhm\n</think>\n\n42 ") == ("hm", "42 ")
    assert split_thinking("<think>\nnever ends") == ("never ends", "")
    assert split_thinking(" plain <think>") == ("", " plain <think>")
