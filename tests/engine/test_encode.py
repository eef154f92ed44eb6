"""From examples to rows of tokens: what bears loss, and what is left of rows that are too long."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.chat.message import Message
from core.config.data import DataOptions
from core.data.example import Example
from core.engine.batches.cut import Cut, without_middle
from core.engine.batches.encode import Encoded, LeftOut, encode
from core.engine.batches.tally import Tally, joined
from core.engine.manner import Manner
from core.engine.template import Template, choose_template, prepared
from core.engine.tokenizer import load_tokenizer
from tiny_models import save_tokenizer

HI, HELLO, BYE, ADE = (
    Message("user", "Hi 你好"),
    Message("assistant", "Hello."),
    Message("user", "Bye"),
    Message("assistant", "Ade!"),
)
TALK = Example((HI, HELLO, BYE, ADE))


def encoded(template: Template, example: Example, **options: Any) -> Encoded:
    result = encode(template, example, DataOptions(**options))
    assert isinstance(result, Encoded), result
    return result


def text_of(template: Template, ids: Any) -> str:
    return str(template.tokenizer.backend.decode(list(ids), skip_special_tokens=False))


def trained_text(template: Template, result: Encoded) -> str:
    return text_of(template, result.row.ids[result.row.trained])


def test_what_is_trained_begins_with_the_very_ids_that_a_chat_asks_with(chatml: Template, plain: Template) -> None:
    for template in (chatml, plain):
        result = encoded(template, TALK, default_system="Be brief.", source_prefix="Q: ")
        asked = template.rendering(prepared(TALK.messages[:-1], "Be brief.", "Q: ")).ids
        assert tuple(result.row.ids[: len(asked)]) == asked
        assert not result.row.trained[len(asked) - 1]
        assert result.row.trained[len(asked)]
        chat = Manner(template, "Be brief.", "Q: ").prompt(TALK.messages[:-1], 4096, 16, None)
        assert tuple(chat.ids) == asked


def test_loss_lies_on_the_answers_and_what_ends_them(chatml: Template) -> None:
    result = encoded(chatml, TALK)
    assert trained_text(chatml, result) == "Hello.<|im_end|>Ade!<|im_end|>"
    assert result.row.ids.dtype == np.int32
    assert result.row.targets == len("Hello.Ade!") + 2
    assert result.cut is None


@pytest.mark.parametrize(
    ("options", "weights", "expected"),
    [
        ({"mask_history": True}, (), "Ade!<|im_end|>"),
        ({}, (0, 1, 0, 0), "Hello.<|im_end|>"),
        ({}, (0, 0, 1, 1), "ByeAde!<|im_end|>"),
        ({"mask_history": True}, (1, 1, 1, 1), "Ade!<|im_end|>"),
        ({"default_system": "S"}, (0, 0, 0, 1), "Ade!<|im_end|>"),
    ],
)
def test_options_and_weights_choose_what_bears_loss(
    chatml: Template, options: dict[str, Any], weights: tuple[float, ...], expected: str
) -> None:
    assert trained_text(chatml, encoded(chatml, Example(TALK.messages, weights), **options)) == expected


def test_training_on_the_prompt_leaves_out_the_first_token_alone(chatml: Template) -> None:
    row = encoded(chatml, TALK, train_on_prompt=True).row
    assert row.trained.tolist() == [False] + [True] * (len(row.ids) - 1)
    last = encoded(chatml, TALK, train_on_prompt=True, mask_history=True)
    assert trained_text(chatml, last).lstrip("\n") == (
        "<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\nAde!<|im_end|>\n"
    )


def test_prefix_and_system_prompt_stand_where_a_chat_has_them(chatml: Template) -> None:
    result = encoded(chatml, TALK, source_prefix="人设：", default_system="Be brief.")
    assert result.rendering.text.startswith(
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n人设：Hi 你好<|im_end|>\n"
    )
    assert result.rendering.text.count("人设：") == 1
    own = Example((Message("system", "Mine."), HI, HELLO))
    assert encoded(chatml, own, default_system="Be brief.").messages[0].content == "Mine."


def test_an_answer_that_the_template_does_not_end_is_followed_by_the_end_token(tmp_path: Path) -> None:
    save_tokenizer(tmp_path, "{% for m in messages %}{{ '<' ~ m.role ~ '>' ~ m.content }}{% endfor %}"
                             "{% if add_generation_prompt %}<assistant>{% endif %}")  # fmt: skip
    template = choose_template("auto", load_tokenizer(tmp_path))
    result = encoded(template, TALK)
    assert text_of(template, result.row.ids).endswith("Ade!<|endoftext|>")
    assert trained_text(template, result) == "Hello.Ade!<|endoftext|>"


def test_rows_without_anything_to_learn_are_told_apart(chatml: Template) -> None:
    options = DataOptions()
    assert encode(chatml, Example((HI,)), options) == LeftOut("unanswered")
    assert encode(chatml, Example(TALK.messages, (0, 0, 0, 0)), options) == LeftOut("untrained")


def test_a_row_that_the_template_refuses_says_why(tmp_path: Path) -> None:
    save_tokenizer(tmp_path, "{{ raise_exception('no system prompts here') }}")
    template = choose_template("auto", load_tokenizer(tmp_path))
    result = encode(template, TALK, DataOptions())
    assert isinstance(result, LeftOut)
    assert result.reason == "refused"
    assert "no system prompts here" in result.detail


# --- rows that are too long ---------------------------------------------------------------------------------------


def talk(*turns: str) -> Example:
    roles = ("user", "assistant")
    return Example(tuple(Message(roles[index % 2], text) for index, text in enumerate(turns)))  # type: ignore[arg-type]


def test_the_oldest_turns_leave_first_and_whole(chatml: Template) -> None:
    long = Example((Message("system", "S"), *talk("a" * 30, "b" * 30, "c" * 10, "d" * 10, "e" * 10, "f" * 10).messages))
    result = encoded(chatml, long, cutoff_len=100)
    assert [message.content for message in result.messages] == ["S", "c" * 10, "d" * 10, "e" * 10, "f" * 10]
    assert result.cut is not None
    assert result.cut.turns > 60
    assert (result.cut.question, result.cut.answer) == (0, 0)
    assert len(result.row.ids) <= 100


def test_a_long_question_loses_its_middle_and_no_marker(chatml: Template, plain: Template) -> None:
    example = talk("begin " + "x" * 300 + " end", "Yes.")
    for template in (chatml, plain):
        whole = encoded(template, example)
        result = encoded(template, example, cutoff_len=64)
        assert len(result.row.ids) == 64
        question = result.messages[0].content
        assert question.startswith("begin xxx")
        assert question.endswith("xxx end")
        assert result.rendering.text == whole.rendering.text.replace(example.messages[0].content, question)
        assert trained_text(template, result) == trained_text(template, whole)
        assert result.cut == Cut(question=len(whole.row.ids) - 64)


def test_a_long_answer_keeps_its_end_and_the_end_token(chatml: Template) -> None:
    result = encoded(chatml, talk("Why?", "because " + "y" * 300 + " done"), cutoff_len=64)
    assert trained_text(chatml, result).startswith("because yyy")
    assert trained_text(chatml, result).endswith("yyy done<|im_end|>")
    assert result.messages[0].content == "Why?"
    assert len(result.row.ids) == 64
    assert result.cut is not None
    assert (result.cut.question, result.cut.turns) == (0, 0)


def test_question_and_answer_each_keep_half_of_the_room(chatml: Template) -> None:
    result = encoded(chatml, talk("q" * 300, "a" * 300), cutoff_len=100)
    source = int(np.argmax(result.row.trained))
    assert source == 50
    assert len(result.row.ids) == 100


def test_source_and_target_have_limits_of_their_own(chatml: Template) -> None:
    example = talk("old " * 10, "older", "q" * 100, "a" * 100)
    result = encoded(chatml, example, max_source_length=40, max_target_length=20, cutoff_len=512)
    source = int(np.argmax(result.row.trained))
    assert source == 40
    assert len(result.row.ids) - source == 20
    assert len(result.messages) == 2
    only_target = encoded(chatml, example, max_target_length=20)
    assert len(only_target.messages) == 4, "a long answer is no reason to forget the conversation"


def test_no_character_is_cut_in_pieces(chatml: Template) -> None:
    question = "联通流量套餐办理" * 20  # three tokens each, for this tokenizer
    result = encoded(chatml, talk(question, "好"), cutoff_len=64)
    assert set(result.messages[0].content) <= set(question)
    assert len(result.row.ids) <= 64
    assert without_middle(chatml.tokenizer, "流量", 1) in ("流", "", "量")


def test_reasoning_gives_way_before_the_answer(chatml: Template) -> None:
    answer = f"<think>\n{'hm ' * 60}\n</think>\n\nForty-two."
    kept = encoded(chatml, talk("?", answer), cutoff_len=80).messages[-1].content
    assert kept.startswith("<think>\nhm")
    assert kept.endswith("</think>\n\nForty-two.")
    tight = encoded(chatml, talk("?", answer), cutoff_len=40).messages[-1].content
    assert "think" not in tight
    assert tight.startswith("Fort")


def test_by_choice_long_rows_are_left_out(chatml: Template) -> None:
    assert encode(chatml, talk("q" * 99, "a"), DataOptions(cutoff_len=64, on_long_rows="drop")) == LeftOut("too_long")


def test_markers_and_system_prompt_are_never_cut(chatml: Template) -> None:
    example = Example((Message("system", "s" * 100), HI, HELLO))
    assert encode(chatml, example, DataOptions(cutoff_len=64)) == LeftOut("no_room")


def test_weights_follow_their_messages_when_turns_leave(chatml: Template) -> None:
    example = Example(talk("a" * 90, "b", "c", "d", "e", "f").messages, (0, 1, 0, 0, 0, 1))
    result = encoded(chatml, example, cutoff_len=64, default_system="S")
    assert [message.content for message in result.messages] == ["S", "c", "d", "e", "f"][: len(result.messages)]
    assert trained_text(chatml, result) == "f<|im_end|>"


def test_the_report_counts_what_was_lost_and_where(chatml: Template) -> None:
    options = DataOptions(cutoff_len=64)
    examples = [TALK, talk("q" * 99, "a"), talk("q", "a" * 99), talk("old" * 30, "b", "c", "d"), Example((HI,))]
    whole, parts = Tally(), [Tally(), Tally()]
    for number, example in enumerate(examples):
        result = encode(chatml, example, options)
        for tally in (whole, parts[number > 1]):
            tally.add(result, lambda number=number: f"rows.jsonl:{number + 1}")  # type: ignore[misc]
    report = whole.report()
    assert (report.rows, report.longest, report.cut_rows) == (4, 64, 3)
    assert (report.cut_turns, report.cut_questions, report.cut_answers) == (1, 1, 1)
    assert report.first_cut == ("rows.jsonl:2", "rows.jsonl:3", "rows.jsonl:4")
    assert report.lost_question_tokens == report.lost_answer_tokens > 50
    assert report.lost_turn_tokens > 90
    assert report.left_out_reasons == {"unanswered": 1}
    assert report.first_left_out[0].place == "rows.jsonl:5"
    assert joined(tally.report() for tally in parts) == report
