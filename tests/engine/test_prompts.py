"""Questions as rows of tokens: what a chat asks, with room for the longest answer, nothing trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.chat.message import Message
from core.config.data import DataOptions
from core.config.load import Settings, load
from core.config.training import TRAINING
from core.engine.batches.cut import Cut
from core.engine.batches.encode import LeftOut
from core.engine.batches.encode_prompt import EncodedPrompt, encode_prompt
from core.engine.batches.prompts import PromptRows
from core.engine.batches.recipe import longest_answer, longest_prompt
from core.engine.manner import Manner
from core.engine.template import Template, choose_template
from core.engine.tokenizer import load_tokenizer
from core.engine.training.data import open_data
from core.errors import DataError
from core.workspace import Workspace
from tiny_models import save_tokenizer
from training_runs import SMALL, make_workspace

ASKED = (Message("user", "Hi 你好"), Message("assistant", "Hello."), Message("user", "Bye"))


def encoded(template: Template, *asked: Message, longest: int = 512, **options: Any) -> EncodedPrompt:
    result = encode_prompt(template, asked, DataOptions(**options), longest)
    assert isinstance(result, EncodedPrompt), result
    return result


def test_a_prompt_is_what_a_chat_asks_with_and_nothing_of_it_is_trained(chatml: Template) -> None:
    prompt = encoded(chatml, *ASKED, default_system="Be brief.", source_prefix="Q: ")
    assert tuple(prompt.row.ids) == tuple(Manner(chatml, "Be brief.", "Q: ").prompt(ASKED, 4096, 16, None).ids)
    assert not prompt.row.trained.any()
    assert prompt.cut is None


def test_a_long_one_loses_old_turns_then_the_middle_of_its_question(chatml: Template) -> None:
    old = (Message("user", "o" * 50), Message("assistant", "p" * 50))
    prompt = encoded(chatml, *old, Message("user", "New?"), longest=64)
    assert [message.content for message in prompt.messages] == ["New?"]
    assert prompt.cut is not None
    assert prompt.cut.turns > 100
    question = Message("user", "begin " + "x" * 100 + " end")
    whole = len(encoded(chatml, question).row.ids)
    prompt = encoded(chatml, *old, question, longest=64, default_system="S")
    assert len(prompt.row.ids) == 64
    assert [message.role for message in prompt.messages] == ["system", "user"]
    assert prompt.messages[1].content.startswith("begin xx")
    assert prompt.messages[1].content.endswith("xx end")
    assert tuple(prompt.row.ids) == chatml.rendering(prompt.messages).ids
    alone = encoded(chatml, question, longest=64)
    assert alone.cut == Cut(question=whole - 64)


def test_what_cannot_be_asked_is_left_out_with_a_reason(chatml: Template, tmp_path: Path) -> None:
    long = (Message("user", "x" * 99),)
    assert encode_prompt(chatml, long, DataOptions(on_long_rows="drop"), 64) == LeftOut("too_long")
    assert encode_prompt(chatml, (Message("system", "s" * 99), *ASKED), DataOptions(), 64) == LeftOut("no_room")
    assert encode_prompt(chatml, ASKED[:2], DataOptions(), 64) == LeftOut("unanswered")
    assert encode_prompt(chatml, (), DataOptions(), 64) == LeftOut("unanswered")
    save_tokenizer(tmp_path / "strict", "{{ raise_exception('no questions today') }}")
    strict = choose_template("auto", load_tokenizer(tmp_path / "strict"))
    result = encode_prompt(strict, ASKED, DataOptions(), 64)
    assert isinstance(result, LeftOut)
    assert result.reason == "refused"
    assert "no questions today" in result.detail


# --- sets of questions --------------------------------------------------------------------------------------------


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """The set `asked`: the same question twice, one with a history, and a long one. The tiny model's context is 512."""
    made = make_workspace(tmp_path / "ws")
    rows = [
        {"instruction": "Same?", "input": "", "output": "Yes."},
        {"instruction": "Same?", "input": "", "output": "No."},
        {"instruction": "And?", "input": "", "output": "So.", "history": [["First?", "Indeed."]]},
        {"instruction": "long " + "x" * 400, "input": "", "output": "So."},
    ]
    (made.root / "data" / "asked.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    catalog = json.loads((made.root / "data" / "dataset_info.json").read_text())
    columns = {"prompt": "instruction", "query": "input", "response": "output", "history": "history"}
    catalog["asked"] = {"file_name": "asked.jsonl", "columns": columns}
    (made.root / "data" / "dataset_info.json").write_text(json.dumps(catalog))
    return made


def settings_of(**options: Any) -> Settings:
    values = {**SMALL, "stage": "ppo", "dataset": ("asked",), "max_new_tokens": 12, **options}
    return load(TRAINING, values=values)


def opened(workspace: Workspace, **options: Any) -> Any:
    return open_data(settings_of(**options), workspace.models / "tiny", workspace)


def test_stage_ppo_gets_questions_as_often_as_they_stand_in_the_data(workspace: Workspace) -> None:
    data = opened(workspace, default_system="Be brief.", source_prefix="Q: ")
    assert isinstance(data.rows, PromptRows)
    assert len(data.rows) == 4
    assert data.rows.targets.tolist() == [1, 1, 1, 1]
    assert data.rows.row(0).ids.tolist() == data.rows.row(1).ids.tolist()
    assert [data.rows.text(n)[:5] for n in range(4)] == ["Same?", "Same?", "And?", "long "]
    assert data.rows.messages(2) == (
        Message("user", "First?"),
        Message("assistant", "Indeed."),
        Message("user", "And?"),
    ), "as the data has it: who scores asks in a manner of its own"
    assert (data.report.kind, data.report.rows, data.report.trained_tokens) == ("prompts", 4, 0)
    text = data.template.tokenizer.backend.decode(data.rows.row(2).ids.tolist(), skip_special_tokens=False)
    assert text.startswith("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nQ: First?")
    assert text.endswith("And?<|im_end|>\n<|im_start|>assistant\n")


def test_what_was_cut_is_not_scored_either(workspace: Workspace) -> None:
    data = opened(workspace, max_source_length=80, default_system="Be brief.", source_prefix="Q: ")
    assert len(data.rows.row(3).ids) == 80
    (kept,) = data.rows.messages(3)
    assert kept.role == "user"
    assert kept.content.startswith("long xx")
    assert len(kept.content) < 60
    assert data.rows.text(3) == "long " + "x" * 400
    assert data.report.cut_questions == 1


def test_the_longest_answer_stays_free_behind_a_prompt(workspace: Workspace) -> None:
    model = workspace.models / "tiny"
    assert longest_prompt(settings_of(), model) == 512 - 12, "the context decides"
    assert longest_prompt(settings_of(cutoff_len=100), model) == 100 - 12, "or cutoff_len"
    assert longest_prompt(settings_of(max_source_length=50), model) == 50
    assert longest_answer(settings_of()) == 12
    assert longest_answer(settings_of(max_new_tokens=None, max_target_length=30)) == 30
    assert longest_answer(settings_of(max_new_tokens=None)) == 128
    assert len(opened(workspace, cutoff_len=100).rows.row(3).ids) == 88


def test_questions_are_kept_out_and_probed_like_rows(workspace: Workspace) -> None:
    data = opened(workspace, val_size=1, probe_max_new_tokens=4)
    (kept_out,) = data.evaluation_sets
    assert isinstance(kept_out.rows, PromptRows)
    assert sorted([*data.rows.examples, *kept_out.rows.examples]) == [0, 1, 2, 3]
    texts = [data.rows.text(n) for n in range(3)]
    assert [probe.prompt for probe in data.probes] == list(dict.fromkeys(texts))[:2]
    assert (
        kept_out.rows.text(0)
        == {0: "Same?", 1: "Same?", 2: "And?", 3: "long " + "x" * 400}[int(kept_out.rows.examples[0])]
    )


def test_questions_without_answers_and_of_preferences_become_the_same_rows(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "ws", rows=2)
    asked = [f"What is number {i}?" for i in range(3)]
    sets = {
        "bare": [{"prompt": text} for text in asked],
        "talks": [{"messages": [{"role": "user", "content": text}]} for text in asked],
        "liked": [{"instruction": text, "chosen": "a", "rejected": "b"} for text in asked],
        "answered": [{"instruction": text, "output": "a"} for text in asked],
    }
    for name, lines in sets.items():
        (workspace.data / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    model = workspace.models / "tiny"
    seen = set()
    for name in sets:
        data = open_data(settings_of(dataset=(name,), eval_dataset=("bare",)), model, workspace)
        assert isinstance(data.rows, PromptRows)
        seen.add(tuple(tuple(data.rows.row(number).ids.tolist()) for number in range(3)))
        assert [data.rows.text(number) for number in range(3)] == asked
        assert [probe.prompt for probe in data.probes] == asked[: len(data.probes)]
        assert len(data.evaluation_sets[0].rows) == 3
    assert len(seen) == 1


def test_what_is_left_out_of_questions_is_told_with_its_row(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "ws", rows=2)
    path = workspace.data / "bare.jsonl"
    path.write_text('{"prompt": "Who?"}\n{"prompt": ""}\n{"prompt": 3}\n')
    model = workspace.models / "tiny"
    with pytest.raises(DataError) as refused:
        open_data(settings_of(dataset=("bare",)), model, workspace)
    first, *places = refused.value.message.splitlines()
    assert first == "2 questions cannot be asked:"
    assert [place.strip().partition("bare.jsonl")[2] for place in places] == [
        ":2: the question is empty ('prompt'): write one, or take the row out",
        ":3: 'prompt' is a number, not a text: put it in quotes",
    ]
    report = open_data(settings_of(dataset=("bare",), on_bad_rows="skip"), model, workspace).report
    assert (report.kind, report.rows, report.left_out) == ("prompts", 1, 2)
    assert report.first_left_out[0].place.endswith("bare.jsonl:2")
