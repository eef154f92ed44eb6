"""Text as it comes: whole characters, and no part of a stop string."""

from __future__ import annotations

from pathlib import Path

import pytest
import tokenizers
from tokenizers import decoders, models, normalizers

from core.engine.detokenize import Detokenizer, StopStrings
from core.engine.tokenizer import Tokenizer, load_tokenizer
from tiny_models import save_tokenizer

TEXT = "Hé, 你好 👩‍👩‍👧 zwölf — ok\n"


@pytest.fixture
def tokenizer(tmp_path: Path) -> Tokenizer:
    save_tokenizer(tmp_path)
    return load_tokenizer(tmp_path)


def test_every_part_is_whole_characters_and_together_they_are_the_text(tokenizer: Tokenizer) -> None:
    detokenizer = Detokenizer(tokenizer.decode)
    parts = [detokenizer.push(token) for token in tokenizer.encode(TEXT)]
    assert len(parts) == len(TEXT.encode())  # one token a byte
    assert "".join(parts) == TEXT
    assert not any("\ufffd" in part for part in parts)
    assert [part for part in parts if part] == list(TEXT)


def test_half_a_character_is_never_shown(tokenizer: Tokenizer) -> None:
    detokenizer = Detokenizer(tokenizer.decode)
    parts = [detokenizer.push(token) for token in tokenizer.encode("a好")[:-1]]
    assert parts == ["a", "", ""]


def test_bytes_that_never_become_a_character_do_not_hold_the_rest_back(tokenizer: Tokenizer) -> None:
    lone = tokenizer.encode("好")[1]
    detokenizer = Detokenizer(tokenizer.decode)
    assert detokenizer.push(lone) == ""
    assert detokenizer.push(tokenizer.encode("x")[0]) == "\ufffdx"
    endless = "".join(detokenizer.push(lone) for _ in range(40))
    assert 0 < len(endless) <= 40


@pytest.mark.parametrize("text", ["é😀é😀好好好", "👩\u200d👩\u200d👧 und 你好世界 é", " the  the", "好\n\n😀 the"])
@pytest.mark.parametrize("gap", [(), (1,), (1, 1)])  # special tokens, which have no text
def test_runs_of_byte_tokens_stay_whole(text: str, gap: tuple[int, ...]) -> None:
    backend = byte_fallback_tokenizer()
    ids = [i for token in backend.encode(text, add_special_tokens=False).ids for i in (token, *gap)]
    expected = backend.decode(ids)
    detokenizer = Detokenizer(lambda some: str(backend.decode(list(some))))
    assert "".join(map(detokenizer.push, ids)) == expected
    assert "\ufffd" not in expected


def byte_fallback_tokenizer() -> tokenizers.Tokenizer:
    """As Llama 2 and Gemma have it: what the vocabulary lacks comes as bytes, decoded by whole runs."""
    words = ["<unk>", "<s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "t", "h", "e", "n"]
    vocabulary = {word: number for number, word in enumerate(words)}
    backend = tokenizers.Tokenizer(models.BPE(vocab=vocabulary, merges=[], byte_fallback=True, unk_token="<unk>"))
    backend.add_special_tokens(["<s>"])
    backend.normalizer = normalizers.Replace(" ", "▁")
    strip = decoders.Strip(" ", 1, 0)
    backend.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), strip])
    return backend


def test_only_a_few_tokens_are_decoded_for_each_new_one(tokenizer: Tokenizer) -> None:
    lengths = []

    def decode(ids: object) -> str:
        lengths.append(len(list(ids)))  # type: ignore[call-overload]
        return tokenizer.decode(list(ids))  # type: ignore[call-overload]

    detokenizer = Detokenizer(decode)
    for token in tokenizer.encode(TEXT * 50):
        detokenizer.push(token)
    assert max(lengths) <= 4 * 4 + 4  # four characters and the one that is coming


@pytest.mark.parametrize(
    ("stops", "parts", "shown", "hit"),
    [
        (["STOP"], ["one ST", "O", "P two"], ["one ", "", ""], True),
        (["STOP"], ["one ST", "AY"], ["one ", "STAY"], False),
        (["b", "ab"], ["xab"], ["x"], True),  # the first place counts, not the first of the list
        (["\nHuman:"], ["hi\n", "Hum", "our"], ["hi", "", "\nHumour"], False),
        (["aab"], ["aa", "ab"], ["", "a"], True),
        ([""], ["text"], ["text"], False),
    ],
)
def test_stop_strings_end_the_answer_before_them(
    stops: list[str], parts: list[str], shown: list[str], hit: bool
) -> None:
    scanner = StopStrings(stops)
    assert [scanner.push(part) for part in parts] == shown
    assert scanner.hit is hit


def test_what_was_no_stop_string_after_all_is_said_at_the_end() -> None:
    scanner = StopStrings(["STOP"])
    assert scanner.push("wait ST") == "wait "
    assert scanner.flush() == "ST"
