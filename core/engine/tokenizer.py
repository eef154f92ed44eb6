"""Text to token ids and back, without importing transformers.

A `tokenizer.json` is read by the `tokenizers` library itself (0.05 s; `AutoTokenizer` imports torch first, 2 s), so a
prompt can be shown before any weights are thought of. Folders that hold only an older tokenizer format are converted
by transformers. Special tokens are never added here: templates write them into the text, and they are recognised in it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tokenizers

from core.errors import ModelError
from core.i18n import _

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_SPECIAL_NAMES = ("bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token")


@dataclass(frozen=True)
class Tokenizer:
    """A tokenizer with what its folder says about chatting."""

    backend: tokenizers.Tokenizer
    special_tokens: Mapping[str, str]
    """By the name that templates use: `bos_token`, `eos_token`, …"""
    chat_template: str | None

    def encode(self, text: str) -> list[int]:
        return list(self.backend.encode(encodable(text), add_special_tokens=False).ids)

    def encode_with_offsets(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Ids, and for each the range of characters that it stands for; parts of one character share its range."""
        encoding = self.backend.encode(encodable(text), add_special_tokens=False)
        return list(encoding.ids), list(encoding.offsets)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids; special tokens have none. An incomplete character at the end shows as U+FFFD."""
        return str(self.backend.decode(list(ids), skip_special_tokens=True))

    def id_of(self, token: str) -> int | None:
        return self.backend.token_to_id(token)

    def is_added(self, token_id: int) -> bool:
        """Whether an id stands outside the learnt vocabulary, as end and turn markers do."""
        return token_id in self.backend.get_added_tokens_decoder()

    @property
    def eos_ids(self) -> frozenset[int]:
        token = self.special_tokens.get("eos_token")
        token_id = self.id_of(token) if token else None
        return frozenset() if token_id is None else frozenset({token_id})


def encodable(text: str) -> str:
    """The text with lone surrogates, which no tokenizer takes, as U+FFFD; no offset moves."""
    return _LONE_SURROGATE.sub("\ufffd", text)


def load_tokenizer(folder: Path, trust_remote_code: bool = False) -> Tokenizer:
    """Read a model folder's tokenizer.

    Raises:
        ModelError: there is none, or it cannot be read.
    """
    config = _read_json(folder / "tokenizer_config.json")
    path = folder / "tokenizer.json"
    try:
        backend = tokenizers.Tokenizer.from_file(str(path)) if path.is_file() else _converted(folder, trust_remote_code)
    except ModelError:
        raise
    except Exception as error:  # the library raises bare Exceptions
        raise ModelError(
            _("{folder}: the tokenizer cannot be read: {error}").format(folder=folder, error=error),
            _("is the folder complete? its tokenizer.json may be cut off"),
        ) from error
    backend.no_truncation()
    backend.no_padding()
    specials = {**_specials(_read_json(folder / "special_tokens_map.json")), **_specials(config)}
    return Tokenizer(backend, specials, _chat_template(folder, config))


def _converted(folder: Path, trust_remote_code: bool) -> tokenizers.Tokenizer:
    if not any((folder / name).is_file() for name in ("tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")):
        raise ModelError(
            _("{folder} holds no tokenizer").format(folder=folder),
            _("a model folder needs tokenizer.json (or tokenizer.model)"),
        )
    from transformers import AutoTokenizer  # 2 s, for folders of the time before tokenizer.json only

    loaded: Any = AutoTokenizer.from_pretrained(folder, trust_remote_code=trust_remote_code)
    backend = getattr(loaded, "backend_tokenizer", None)
    if not isinstance(backend, tokenizers.Tokenizer):
        raise ModelError(
            _("{folder}: this tokenizer has no fast form").format(folder=folder),
            _("convert it once to a tokenizer.json"),
        )
    return backend


def _chat_template(folder: Path, config: Mapping[str, Any]) -> str | None:
    path = folder / "chat_template.jinja"
    if path.is_file():
        return path.read_text(encoding="utf-8")
    template = config.get("chat_template")
    if isinstance(template, list):  # named templates; `default` is the one for chatting
        named = {item.get("name"): item.get("template") for item in template if isinstance(item, dict)}
        template = named.get("default")
    return template if isinstance(template, str) else None


def _specials(config: Mapping[str, Any]) -> dict[str, str]:
    found = {}
    for name in _SPECIAL_NAMES:
        token = config.get(name)
        content = token.get("content") if isinstance(token, dict) else token
        if isinstance(content, str):
            found[name] = content
    return found


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_bytes())
    except ValueError as error:
        raise ModelError(_("{path} is not valid JSON: {error}").format(path=path, error=error)) from error
    return value if isinstance(value, dict) else {}
