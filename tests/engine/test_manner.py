"""What travels with an adapter: it is asked as it was trained, token for token, and every difference is said aloud."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from conversations import HELLO, ask, load, started
from tuning_base import tunable

from core.chat.message import Message
from core.config.data import DataOptions
from core.data.example import Example
from core.engine.batches.encode import Encoded, encode
from core.engine.manner import Manner, manner_of_adapter
from core.engine.template import choose_template
from core.engine.worker import Worker
from core.errors import UsageError
from core.models.notes import NOTES_FILE, read_notes
from core.serve.protocol import AdapterLoaded, Load, LoadAdapter, Render, Rendered, Reply, Row, Sampling, Started

DATA = DataOptions(default_system="Be brief.", source_prefix="Q: ")


@pytest.fixture
def adapter(model_folder: Callable[[str], Path], tmp_path: Path) -> Path:
    """Of a model whose own template is ChatML, trained under another."""
    tunable(model_folder("llama"), template="default", data=DATA, lora_rank=2).save(tmp_path)
    return tmp_path


def test_a_chat_asks_with_the_tokens_that_were_trained(model_folder: Callable[[str], Path], adapter: Path) -> None:
    model = load(model_folder("llama"))
    loaded = model.load_adapter("a", adapter)
    assert loaded.warnings == (
        "it is asked under the template default, as it was trained",
        "it is asked under its system prompt: Be brief.",
        "before the first question it is given: Q: ",
    )
    template = choose_template("default", model.base.tokenizer)
    talk = (*HELLO, Message("assistant", "Fine."), Message("user", "And you?"))
    encoded = encode(template, Example((*talk, Message("assistant", "Me too."))), DATA)
    assert isinstance(encoded, Encoded)
    row = encoded.row
    prompt = model.manner("a").prompt(talk, 512, 16, None)
    assert row.ids[: len(prompt.ids)].tolist() == list(prompt.ids)
    assert row.trained.tolist().index(True) < len(prompt.ids)  # the earlier answer is trained too
    assert row.trained[len(prompt.ids)]
    replies = ask(model, Row(talk, "a"), Row(talk))
    assert started(replies, 0).prompt_tokens == len(prompt.ids)
    assert started(replies, 1).prompt_tokens == len(model.base.template.rendering(talk).ids)


def test_the_users_word_goes_first(model_folder: Callable[[str], Path], adapter: Path) -> None:
    model = load(model_folder("llama"), template="chatml")
    assert model.load_adapter("a", adapter).warnings[0] == (
        "it was trained under the template default and is asked under chatml, as you chose"
    )
    assert model.manner("a").template.name == "chatml"
    own = (Message("system", "Sing."), *HELLO)
    assert [message.content for message in model.manner("a").messages(own)] == ["Sing.", f"Q: {HELLO[0].content}"]


def test_what_leaves_a_full_context_is_told_by_the_askers_count(
    model_folder: Callable[[str], Path], adapter: Path
) -> None:
    model = load(model_folder("llama"))
    model.load_adapter("a", adapter)
    long = (Message("user", "x" * 300), Message("assistant", "y"), Message("user", "z" * 200))
    assert started(ask(model, Row(long, "a"))).dropped == (0, 1)


def test_the_shown_prompt_is_the_asked_one(model_folder: Callable[[str], Path], adapter: Path) -> None:
    replies: list[Reply] = []
    worker = Worker(replies.append, lambda _id: False)
    worker.handle(Load(1, str(model_folder("llama")), threads=1))
    worker.handle(LoadAdapter(2, "a", str(adapter)))
    for place, name in enumerate(("a", None)):
        worker.handle(Render(3, HELLO, adapter=name))
        model = worker._loaded_model()
        asked = ask(model, Row(HELLO, name), sampling=Sampling(max_new_tokens=1))
        rendered = [reply for reply in replies if isinstance(reply, Rendered)][place]
        assert len(rendered.tokens) == started(asked).prompt_tokens
        assert ("Be brief." in rendered.text) == (name == "a")
    with pytest.raises(UsageError, match="no adapter 'b' is loaded"):
        worker.handle(Render(4, HELLO, adapter="b"))
    assert [reply.method for reply in replies if isinstance(reply, AdapterLoaded)] == ["lora"]
    assert not any(isinstance(reply, Started) for reply in replies)


def test_another_tokenizer_another_config_and_a_template_that_is_gone(
    model_folder: Callable[[str], Path], adapter: Path
) -> None:
    notes = json.loads((adapter / NOTES_FILE).read_text())
    model = load(model_folder("llama"))

    def said(**changed: str) -> str:
        (adapter / NOTES_FILE).write_text(json.dumps({**notes, **changed}))
        return model.load_adapter("a", adapter).warnings[0 if "template" in "".join(changed) else 1]

    assert said(tokenizer_sha256="0") == "it was trained with another tokenizer than this model has"
    assert said(base_config_sha256="0") == "the model's config.json is not what it was when the adapter was trained"
    assert said(template="\x1b[31mgone") == (
        "it was trained under the template ␛[31mgone, which is not here; it is asked under tokenizer"
    )
    assert said(template_sha256="0") == "the template default is not what it was when the adapter was trained"


def test_thinking_is_switched_as_it_was_trained(model_folder: Callable[[str], Path], tmp_path: Path) -> None:
    tunable(model_folder("llama"), data=DataOptions(enable_thinking=False), lora_rank=2).save(tmp_path)
    model = load(model_folder("llama"))
    assert model.load_adapter("a", tmp_path).warnings == ()
    assert model.manner("a").thinks(None) is False
    assert model.manner("a").thinks(True) is True
    assert model.manner(None).thinks(None) is None


def test_what_a_model_has_in_common_with_the_one_it_is_used_with_is_not_said(
    model_folder: Callable[[str], Path], adapter: Path
) -> None:
    notes = read_notes(adapter)
    assert notes is not None
    base = Manner(choose_template("auto", load(model_folder("llama")).base.tokenizer))
    found, told = manner_of_adapter(notes, base, model_folder("llama"), "auto", notes)
    assert (found.source_prefix, told) == ("Q: ", ())
    other = dataclasses.replace(notes, source_prefix="")
    assert manner_of_adapter(notes, base, model_folder("llama"), "auto", other)[1] == (
        "before the first question it is given: Q: ",
    )
