"""What rows of tokens are made of, as another process can be told: it opens the same examples and the same template.

What a row is goes by the stage: an answer to learn, a pair of answers, or a question (`RowKind`).
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from core.chat.message import Message
from core.config.data import DataOptions
from core.config.finetuning import FinetuningOptions
from core.config.load import Settings
from core.config.model import BaseModelOptions
from core.config.optimization import OptimizationOptions
from core.config.ppo import PPOOptions
from core.config.stages import ROW_KINDS, RowKind
from core.data.example import Comparison, Prompt
from core.data.examples import (
    ComparisonSet,
    ExampleSet,
    PromptSet,
    open_comparisons,
    open_examples,
    open_prompts,
)
from core.engine.batches.encode import Encoded, LeftOut, encode
from core.engine.batches.encode_pair import EncodedPair, encode_pair
from core.engine.batches.encode_prompt import EncodedPrompt, encode_prompt
from core.engine.manner import manner_of_model
from core.engine.template import Template
from core.engine.tokenizer import load_tokenizer
from core.models.info import context_length_of
from core.workspace import Workspace

_USUAL_ANSWER = 128
"""Tokens, where no option names the longest answer."""

Encodings: TypeAlias = Encoded | EncodedPair | EncodedPrompt

_FORMAT = 3
"""Of what is kept; another one makes all that is kept strange."""
_NOT_FELT = (
    "dataset",  # named by the recipe
    "eval_dataset",
    "val_size",
    "packing",
    "overwrite_cache",
    "preprocessing_num_workers",
    "on_bad_rows",  # where no row is chosen by its number they are left out either way; a run stops at the report
    "ignore_pad_token_for_loss",
)
"""Options that change nothing of a row's tokens."""


@dataclass(frozen=True)
class Recipe:
    """Examples, template and options."""

    workspace: Path
    names: tuple[str, ...]
    """Of data sets, or files."""
    data: DataOptions
    model: Path
    """The model's folder."""
    template: str = "auto"
    trust_remote_code: bool = False
    seed: int = 42
    """Of sampling and interleaving."""
    kind: RowKind = "answers"
    longest_prompt: int = 0
    """The most tokens of a prompt; 0 for rows that bring their answers."""

    @functools.cached_property
    def examples(self) -> ExampleSet | ComparisonSet | PromptSet:
        """The examples. Bad rows raise when they are asked for: `tokenise` needs no pass of its own to skip them.

        Only where rows are counted out or drawn, bad ones have to be known before: they do not count.
        """
        opened = self._open(self.data.model_copy(update={"on_bad_rows": "stop"}))
        if self.data.on_bad_rows == "stop" or not self._chooses(opened):
            return opened
        return self._open(self.data)

    def _open(self, options: DataOptions) -> ExampleSet | ComparisonSet | PromptSet:
        return _OPENERS[self.kind](self.names, options, Workspace(self.workspace), seed=self.seed)

    def encoded(self, number: int) -> Encodings | LeftOut:
        """An example as tokens.

        Raises:
            RowProblem: it cannot be read.
        """
        match self.examples[number]:
            case Comparison() as comparison:
                return encode_pair(self.chosen_template, comparison, self.data)
            case Prompt(messages):
                return encode_prompt(self.chosen_template, messages, self.data, self.longest_prompt)
            case example:
                return encode(self.chosen_template, example, self.data)

    def question(self, number: int) -> tuple[Message, ...]:
        """An example's messages before its last answer, as they stand in the data."""
        example = self.examples[number]
        return example.messages if isinstance(example, (Comparison, Prompt)) else example.messages[:-1]

    def _chooses(self, opened: ExampleSet | ComparisonSet | PromptSet) -> bool:
        """Whether it depends on a row's number among the others if it is used."""
        return bool(self.data.max_samples) or self._draws(opened)

    def _draws(self, opened: ExampleSet | ComparisonSet | PromptSet) -> bool:
        is_mixed = self.data.mix_strategy != "concat"
        return is_mixed or any(part.entry.num_samples is not None for part in opened.parts)

    @property
    def is_of_files(self) -> bool:
        """Whether all rows are in files, which can be hashed; sets of a hub may change under their names."""
        return all(source.sha256 for source in self.examples.sources)

    @functools.cached_property
    def chosen_template(self) -> Template:
        tokenizer = load_tokenizer(self.model, self.trust_remote_code)
        return manner_of_model(self.model, self.template, tokenizer).template

    @functools.cached_property
    def key(self) -> str:
        """A name for the rows: the same for the same files, entries, template, tokenizer and options."""
        template, entries = self.chosen_template, [part.entry for part in self.examples.parts]
        felt = {name: value for name, value in self.data.model_dump(mode="json").items() if name not in _NOT_FELT}
        parts: list[Any] = [
            _FORMAT,
            self.kind,
            self.longest_prompt,
            self.names,
            felt,
            [[str(source.path), source.sha256] for source in self.examples.sources],
            [repr(entry) for entry in entries],
            self.seed if self._draws(self.examples) else None,
            self.data.on_bad_rows if self._chooses(self.examples) else None,
            template.source,
            template.name,
            dict(template.tokenizer.special_tokens),
            template.tokenizer.backend.to_str(),
        ]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]

    def to_json(self) -> dict[str, Any]:
        plain = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        paths = {"workspace": str(self.workspace), "model": str(self.model)}
        return {**plain, **paths, "data": self.data.model_dump(mode="json")}


_OPENERS: Mapping[RowKind, Callable[..., ExampleSet | ComparisonSet | PromptSet]] = {
    "answers": open_examples,
    "pairs": open_comparisons,
    "prompts": open_prompts,
}


def recipe_for(settings: Settings, names: Sequence[str], model: Path, workspace: Workspace) -> Recipe:
    """The recipe of some data sets under a training's options.

    Args:
        model: the base model's folder.
    """
    base, kind = settings[BaseModelOptions], ROW_KINDS[settings[FinetuningOptions].stage]
    return Recipe(
        workspace.root,
        tuple(names),
        settings[DataOptions],
        model,
        base.template,
        base.trust_remote_code,
        settings[OptimizationOptions].seed,
        kind,
        longest_prompt(settings, model) if kind == "prompts" else 0,
    )


def longest_prompt(settings: Settings, model: Path) -> int:
    """The most tokens of a prompt, so that the longest answer stands behind it within cutoff_len and the context."""
    data = settings[DataOptions]
    context = context_length_of(model) or data.cutoff_len
    room = min(data.cutoff_len, context) - longest_answer(settings)
    return max(1, min(room, data.max_source_length or room))


def longest_answer(settings: Settings) -> int:
    """The most tokens of an answer that PPO draws."""
    return settings[PPOOptions].max_new_tokens or settings[DataOptions].max_target_length or _USUAL_ANSWER


def recipe_of(record: dict[str, Any]) -> Recipe:
    """The recipe that `to_json` told."""
    return Recipe(
        Path(record["workspace"]),
        tuple(record["names"]),
        DataOptions.model_validate(record["data"]),
        Path(record["model"]),
        record["template"],
        record["trust_remote_code"],
        record["seed"],
        record["kind"],
        record["longest_prompt"],
    )
