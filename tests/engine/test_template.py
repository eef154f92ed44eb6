"""Conversations to text, ids and loss mask."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tokenizers

from core.chat.message import Message
from core.engine.template import Template, bundled, choose_template, without_reasoning
from core.engine.tokenizer import load_tokenizer
from core.errors import ModelError, UsageError
from tiny_models import CHATML, save_tokenizer

TALK = (
    Message("system", "Be brief."),
    Message("user", "Hi 你好"),
    Message("assistant", "Hello."),
    Message("user", "Bye"),
)
SMOL = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nI am Smol.<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def template(folder: Path, name: str = "auto", source: str | None = CHATML) -> Template:
    save_tokenizer(folder, source)
    return choose_template(name, load_tokenizer(folder))


def test_the_tokenizers_own_template_comes_first(tmp_path: Path) -> None:
    own = template(tmp_path)
    assert own.name == "tokenizer"
    assert own.text(TALK[1:2]) == "<|im_start|>user\nHi 你好<|im_end|>\n<|im_start|>assistant\n"
    (tmp_path / "chat_template.jinja").write_text("{{ messages[0].content }}")
    assert choose_template("auto", load_tokenizer(tmp_path)).text(TALK) == "Be brief."


def test_a_base_model_gets_the_default_form_and_stops_at_its_turn_markers(tmp_path: Path) -> None:
    bare = template(tmp_path, source=None)
    assert bare.name == "default"
    assert bare.text(TALK) == (
        "<|endoftext|>Be brief.\nHuman: Hi 你好\nAssistant: Hello.<|endoftext|>\nHuman: Bye\nAssistant: "
    )
    assert "\nHuman:" in bare.stop


def test_ids_are_those_of_transformers(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    own = template(tmp_path, source=SMOL)
    reference = AutoTokenizer.from_pretrained(tmp_path)
    plain = [{"role": m.role, "content": m.content} for m in TALK]
    expected = reference.apply_chat_template(plain, add_generation_prompt=True, return_dict=False)
    assert list(own.rendering(TALK).ids) == expected


@pytest.mark.parametrize("name", bundled())
def test_every_bundled_template_renders_masks_and_ends_its_answers(name: str, tmp_path: Path) -> None:
    chosen = template(tmp_path, name, None)
    rendering = chosen.rendering(TALK[1:3], add_generation_prompt=False, loss_mask=True)
    trained = "".join(p for p, on in zip(rendering.pieces(), rendering.trained, strict=True) if on)
    assert trained.strip().startswith("Hello.")
    assert "Hi" not in trained
    assert "".join(rendering.pieces()) == rendering.text
    prompt = chosen.text(TALK[1:2])
    assert rendering.text.startswith(prompt)
    assert chosen.end_ids or chosen.stop


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("llama3", "<|endoftext|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
                   "<|start_header_id|>assistant<|end_header_id|>\n\n"),
        ("llama2", "<|endoftext|>[INST] Hi [/INST]"),
        ("mistral", "<|endoftext|>[INST] Hi [/INST]"),
        ("gemma", "<|endoftext|><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\n"),
        ("zephyr", "<|user|>\nHi<|endoftext|>\n<|assistant|>\n"),
        ("phi3", "<|endoftext|><|user|>\nHi<|end|>\n<|assistant|>\n"),
        ("vicuna", "USER: Hi ASSISTANT:"),
        ("chatglm2", "[gMASK]sop[Round 1]\n\n问：Hi\n\n答："),
        ("chatglm3", "[gMASK]sop<|user|>\n Hi<|assistant|>"),
        ("chatglm", "Hi[gMASK]<sop>"),
    ],
)  # fmt: skip
def test_bundled_forms(name: str, expected: str, tmp_path: Path) -> None:
    assert template(tmp_path, name, None).text([Message("user", "Hi")]).endswith(expected)


def test_the_prompt_of_a_chat_is_the_beginning_of_what_is_trained(tmp_path: Path) -> None:
    save_tokenizer(tmp_path, None)
    backend = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    backend.add_tokens([" Hello"])  # as a vocabulary has words together with the space in front
    backend.save(str(tmp_path / "tokenizer.json"))
    bare = choose_template("auto", load_tokenizer(tmp_path))
    assert bare.tokenizer.encode("a Hello")[-1] == bare.tokenizer.id_of(" Hello")
    prompt = bare.rendering(TALK[:2])
    whole = bare.rendering((*TALK, Message("assistant", "Hello!")), add_generation_prompt=False, loss_mask=True)
    assert whole.ids[: len(prompt.ids)] == prompt.ids
    assert "".join(whole.pieces()) == whole.text
    trained = "".join(p for p, on in zip(whole.pieces(), whole.trained, strict=True) if on)
    assert trained == "Hello.<|endoftext|>Hello!<|endoftext|>"


def test_an_unknown_template_names_the_nearest_and_all(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        template(tmp_path, "lama3")
    assert caught.value.message == "there is no chat template 'lama3'"
    assert caught.value.hint.startswith("did you mean 'llama3'? bundled: alpaca, chatglm, ")


def test_the_loss_lies_on_answers_and_their_end_only(tmp_path: Path) -> None:
    rendering = template(tmp_path).rendering(
        (*TALK, Message("assistant", "再见")), add_generation_prompt=False, loss_mask=True
    )
    trained = "".join(p for p, on in zip(rendering.pieces(), rendering.trained, strict=True) if on)
    assert trained == "Hello.<|im_end|>再见<|im_end|>"
    assert len(rendering.ids) == len(rendering.trained)


def test_a_template_whose_answers_do_not_continue_their_prompts_has_no_mask_and_says_so(tmp_path: Path) -> None:
    source = "{% for m in messages %}{{ loop.length ~ m.role ~ m.content }}{% endfor %}"
    with pytest.raises(ModelError, match="does not begin message 3 with the prompt before it"):
        template(tmp_path, source=source).rendering(TALK[:3], loss_mask=True)


def test_an_earlier_answer_that_is_rendered_otherwise_is_trained_as_it_stands_in_the_whole(tmp_path: Path) -> None:
    ends = template(tmp_path / "a", "chatglm2", None)  # writes its end marker behind the last answer alone
    rendering = ends.rendering((*TALK, Message("assistant", "Ade")), add_generation_prompt=False, loss_mask=True)
    assert [rendering.text[slice(*answer)] for answer in rendering.answers] == ["Hello.", "Ade</s>"]
    thinks = template(
        tmp_path / "b",
        source="{% for m in messages %}<|im_start|>{{ m.role ~ ':' }}"
        "{% if loop.last and m.role == 'assistant' %}<think></think>{% endif %}{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant:{% endif %}",
    )
    rendering = thinks.rendering((*TALK, Message("assistant", "Ade")), add_generation_prompt=False, loss_mask=True)
    spans = [rendering.text[slice(*answer)] for answer in rendering.answers]
    assert spans == ["Hello.<|im_end|>", "<think></think>Ade<|im_end|>"]


@pytest.mark.parametrize("name", bundled())
@pytest.mark.parametrize("answer", ["Ade.", " Ade ", "Ade.\n", "<think>\nhm\n</think>\n\nAde."])
def test_an_outline_tells_what_renderings_of_the_conversation_itself_tell(
    name: str, answer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    talk = (*TALK[1:3], Message("user", "你好? Hello."), Message("assistant", answer))
    quick = template(tmp_path, name, None).rendering(talk, add_generation_prompt=False, loss_mask=True)
    monkeypatch.setattr("core.engine.template._is_plain", lambda messages: False)
    assert template(tmp_path, name, None).rendering(talk, add_generation_prompt=False, loss_mask=True) == quick
    assert quick.answers


def test_a_system_prompt_that_a_template_puts_in_by_itself_is_told(tmp_path: Path) -> None:
    assert template(tmp_path / "a", source=SMOL).injected_system == "I am Smol."
    assert template(tmp_path / "b").injected_system == ""
    assert template(tmp_path / "c", "qwen", None).injected_system == "You are a helpful assistant."
    assert template(tmp_path / "d", "gemma", None).injected_system == ""


def test_end_tokens_come_from_what_the_template_writes_behind_an_answer(tmp_path: Path) -> None:
    own = template(tmp_path)
    assert own.end_ids == {own.tokenizer.id_of("<|im_end|>")}
    assert own.stop == ()
    unknown = template(tmp_path, "llama3")
    assert unknown.end_ids == frozenset()
    assert unknown.stop == ("<|eot_id|>",)  # no token of this tokenizer: it can only be met as text


def test_reasoning_leaves_earlier_answers_but_not_the_one_being_written() -> None:
    thought = Message("assistant", "<think>\nhm\n</think>\n\nYes")
    question = Message("user", "?")
    assert without_reasoning([question, thought, question])[1].content == "Yes"
    assert without_reasoning([question, thought])[1] == thought


def test_thinking_is_switched_only_where_it_is_known(tmp_path: Path) -> None:
    source = CHATML + "{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}"
    switched = template(tmp_path, source=source)
    assert switched.knows_thinking
    assert switched.text(TALK, enable_thinking=False).endswith("<think></think>")
    assert not switched.text(TALK).endswith("<think></think>")
    assert not template(tmp_path).knows_thinking


def test_a_template_that_refuses_is_a_users_error(tmp_path: Path) -> None:
    source = "{{ raise_exception('no system prompts here') }}"
    with pytest.raises(ModelError, match="no system prompts here"):
        template(tmp_path, source=source).text(TALK)
    with pytest.raises(ModelError, match="cannot render"):
        template(tmp_path, source="{{ messages.__class__.__mro__ }}{{ 1/0 }}").text(TALK)


def test_text_without_an_encoding_does_not_reach_the_tokenizer(tmp_path: Path) -> None:
    rendering = template(tmp_path).rendering([Message("user", "a\ud800b")])
    assert "a\ufffdb" in rendering.text
    assert "".join(rendering.pieces()) == rendering.text


def test_a_folder_without_a_tokenizer_or_with_a_broken_one_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="holds no tokenizer"):
        load_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text('{"cut')
    with pytest.raises(ModelError, match="cannot be read"):
        load_tokenizer(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps([1])[:-1])
    with pytest.raises(ModelError, match="not valid JSON"):
        load_tokenizer(tmp_path)
