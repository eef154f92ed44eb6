"""Transformers' own forward, for everything that the fast one does not cover.

Architectures outside its families, and adapters that only PEFT can serve. One row at a time; the cache is
transformers' own and is cropped where every layer of it can be, else the prompt is read again.
"""

from __future__ import annotations

import contextlib
import inspect
import itertools
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

from core.engine.adapters import AdapterFolder, check_fits, mismatch
from core.engine.cache import Geometry
from core.engine.fused_layer import Module
from core.engine.prefix import PrefixEncoder, prefix_shape, prefix_slot, read_prefix
from core.engine.segment import Segment
from core.errors import ModelError
from core.i18n import _


@dataclass
class StockRow:
    """A conversation in transformers' cache."""

    cache: Any
    tokens: list[int] = field(default_factory=list)

    def crop(self, length: int) -> None:
        self.cache.crop(length - len(self.tokens))  # it wants the number of tokens to remove, negative
        del self.tokens[length:]

    @property
    def nbytes(self) -> int:
        layers = [layer for layer in self.cache.layers if getattr(layer, "keys", None) is not None]
        return sum(layer.keys.nbytes + layer.values.nbytes for layer in layers)


class StockModel:
    """A runner over a transformers model, by itself or with adapters of PEFT."""

    def __init__(self, model: Module) -> None:
        self._model = model
        self._peft: Any = None
        self._names: dict[str, list[str]] = {}
        """PEFT's names, which may hold no dots, by ours: an adapter, those that it was trained over before it."""
        self._prefixes: dict[str, PrefixEncoder] = {}
        self._biases: dict[str, list[tuple[Tensor, Tensor]]] = {}
        """By PEFT's names: biases of the base that an adapter has trained, and its values for them."""
        self._numbers = itertools.count()
        parameters = inspect.signature(model.forward).parameters
        self._last_only = "logits_to_keep" in parameters
        self._takes_positions = "position_ids" in parameters

    def add_prefix(self, name: str, folder: AdapterFolder) -> int:
        """Load a prefix of P-Tuning v2; returns its number of parameters.

        Raises:
            ModelError: it does not fit the model.
        """
        self.remove_adapter(name)
        encoder = read_prefix(folder.weights, folder.notes.prefix if folder.notes else None, prefix_shape(self._plain))
        prefix_slot(self._plain)
        parameters = sum(one.numel() for one in encoder.parameters())
        self._prefixes[name] = encoder.folded().to(self._plain.device).requires_grad_(False)
        return parameters

    def add_adapter(
        self, name: str, folder: AdapterFolder, model_name: str, lower: Sequence[AdapterFolder] = ()
    ) -> int:
        """Load an adapter through PEFT, and those that it was trained over; returns its number of parameters.

        Raises:
            AdapterMismatch: its tensors belong to another base model.
            ModelError: PEFT cannot load it, or cannot put it over the others.
        """
        if lower and not all(one.adds_up() for one in (*lower, folder)):
            raise ModelError(
                _("{path} was trained over other adapters, and they cannot be told apart in a chat").format(
                    path=folder.path
                ),
                _("merge all of them into one model: finetui export"),
            )
        self.remove_adapter(name)
        parameters = 0
        for one in (*lower, folder):
            try:
                inner, count = self._add_one(one, model_name)
            except ModelError:
                self.remove_adapter(name)
                raise
            parameters += count
            self._names.setdefault(name, []).append(inner)
        return parameters

    def _add_one(self, folder: AdapterFolder, model_name: str) -> tuple[str, int]:
        from peft import PeftModel  # 0.3 s and 30 MB, for adapters that only it can serve

        check_fits(folder, self._model, model_name)
        inner = f"adapter{next(self._numbers)}"
        try:
            with warnings.catch_warnings(), self._biases_set_aside(inner):
                warnings.simplefilter("ignore")
                if self._peft is None:
                    self._peft = PeftModel.from_pretrained(self._model, str(folder.path), adapter_name=inner)
                else:
                    self._peft.load_adapter(str(folder.path), adapter_name=inner)
        except (RuntimeError, ValueError, KeyError, TypeError) as error:
            self._recover(inner)
            if "size mismatch" in str(error) or "not found in the base model" in str(error):
                raise mismatch(folder, model_name, str(error).splitlines()[-1].strip()) from error
            raise ModelError(
                _("adapter {path} cannot be loaded: {error}").format(path=folder.path, error=error)
            ) from error
        self._peft.eval().requires_grad_(False)
        named = self._peft.named_parameters()
        return inner, sum(weight.numel() for key, weight in named if inner in key.split("."))

    @contextlib.contextmanager
    def _biases_set_aside(self, inner: str) -> Iterator[None]:
        """PEFT writes trained biases over those of the base, which the base and every other adapter answer with."""
        biases = [weight.data for key, weight in self._model.named_parameters() if key.endswith("bias")]
        own = [bias.clone() for bias in biases]
        try:
            yield
            changed = zip(biases, own, strict=True)
            self._biases[inner] = [(bias, bias.clone()) for bias, before in changed if not torch.equal(bias, before)]
        finally:
            for bias, before in zip(biases, own, strict=True):
                bias.copy_(before)

    def _recover(self, inner: str) -> None:
        """Take a half loaded adapter out again: its layers would stay in the model, untrained."""
        if self._peft is not None:
            if inner in self._peft.peft_config:
                self._peft.delete_adapter(inner)
            return
        if hasattr(self._model, "peft_config"):
            del self._model.peft_config
        for parent in list(self._model.modules()):
            for name, child in list(parent.named_children()):
                if type(child).__module__.startswith("peft."):
                    setattr(parent, name, getattr(child, "base_layer", None) or child.original_module)

    def remove_adapter(self, name: str) -> None:
        """Forget an adapter; with the last one PEFT leaves the model."""
        self._prefixes.pop(name, None)
        for inner in self._names.pop(name, []):
            del self._biases[inner]
            if len(self._peft.peft_config) == 1:  # deleting the last one breaks PEFT later
                self._model = self._peft.unload()
                self._peft = None
            else:
                self._peft.delete_adapter(inner)

    @property
    def _plain(self) -> Module:
        """transformers' model itself, adapters injected or not."""
        return self._model if self._peft is None else self._peft.get_base_model()

    def new_row(self) -> StockRow:
        return StockRow(DynamicCache(config=self._model.config))

    @property
    def geometry(self) -> Geometry:
        """Of one token's keys and values, as far as the configuration tells."""
        config = self._plain.config.get_text_config()
        heads = config.num_attention_heads
        return Geometry(
            layers=config.num_hidden_layers,
            kv_heads=getattr(config, "num_key_value_heads", None) or heads,
            head_dim=getattr(config, "head_dim", None) or config.hidden_size // heads,
            dtype=self._plain.dtype,
            device=self._plain.device,
        )

    @property
    def takes_padding(self) -> bool:
        """Whether rows of different lengths can be read together and answer as they would alone.

        They can where a cache holds keys and values and nothing else, and where positions can be given.
        """
        layers = DynamicCache(config=self._plain.config).layers
        return self._takes_positions and all(type(one) in (DynamicLayer, DynamicSlidingWindowLayer) for one in layers)

    @torch.inference_mode()
    def read_padded(self, ids: Tensor, seen: Tensor, cache: Any, adapter: str | None) -> Tensor:
        """Read the next tokens of several rows, which are padded on the left.

        Args:
            ids: int64 [rows, tokens].
            seen: int64 [rows, tokens in the cache + tokens], 0 where there is padding.
            cache: of `new_row`.

        Returns:
            float32 logits behind the last token [rows, vocabulary].
        """
        given: dict[str, Any] = {"logits_to_keep": 1} if self._last_only else {}
        if not seen.all():
            positions = (seen.cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :]
            given |= {"attention_mask": seen, "position_ids": positions}
        with self._using(adapter) as model:
            output = model(input_ids=ids, past_key_values=cache, use_cache=True, **given)
        logits: Tensor = output.logits[:, -1].float()
        return logits

    @torch.inference_mode()
    def read_whole(self, ids: Sequence[int], wanted: int, adapter: str | None) -> Tensor:
        """float32 logits behind each of the last `wanted` tokens of one text, [wanted, vocabulary]."""
        given = {"logits_to_keep": wanted} if self._last_only else {}
        with self._using(adapter) as model:
            output = model(input_ids=torch.tensor([list(ids)], device=self._plain.device), use_cache=False, **given)
        logits: Tensor = output.logits[0, -wanted:].float()
        return logits

    @torch.inference_mode()
    def end_state(self, ids: Sequence[int], adapter: str | None) -> Tensor:
        """The decoder's output at the last token of one text, [hidden]."""
        with self._using(adapter):
            output = self._plain.get_decoder()(
                input_ids=torch.tensor([list(ids)], device=self._plain.device), use_cache=False
            )
        state: Tensor = output.last_hidden_state[0, -1]
        return state

    def continue_row(self, row: StockRow, length: int) -> bool:
        """See `Runner.continue_row`. Sliding windows and recurrent states forget, and cannot go back."""
        if length == len(row.tokens):
            return True
        if any(type(layer) is not DynamicLayer for layer in row.cache.layers):
            return False
        row.crop(length)
        return True

    @torch.inference_mode()
    def forward(self, segments: Sequence[Segment]) -> Tensor:
        """See `Runner.forward`."""
        logits = [self._read(segment) for segment in segments]
        return torch.cat([one for one, segment in zip(logits, segments, strict=True) if segment.wants_logits] or logits)

    def _read(self, segment: Segment) -> Tensor:
        row: StockRow = segment.row
        ids = torch.tensor([list(segment.ids)], device=self._model.device)
        keep = {"logits_to_keep": 1} if self._last_only else {}
        with self._using(segment.adapter) as model:
            output = model(input_ids=ids, past_key_values=row.cache, use_cache=True, **keep)
        row.tokens.extend(segment.ids)
        logits: Tensor = output.logits[:, -1].float()
        return logits

    @contextlib.contextmanager
    def _using(self, adapter: str | None) -> Iterator[Any]:
        if adapter in self._prefixes:
            with self._with_lora(None) as model, _before_text(self._plain, self._prefixes[adapter]):
                yield model
        else:
            with self._with_lora(adapter) as model:
                yield model

    @contextlib.contextmanager
    def _with_lora(self, adapter: str | None) -> Iterator[Any]:
        if self._peft is None:
            yield self._model
        elif adapter is None:
            with self._peft.disable_adapter():
                yield self._peft
        else:
            inner = self._names[adapter]
            if self._peft.active_adapters != inner:
                self._activate(inner)
            with _exchanged(self._biases[inner[-1]]):
                yield self._peft

    def _activate(self, inner: list[str]) -> None:
        if len(inner) == 1:
            self._peft.set_adapter(inner[0])
        else:  # all of them at once, which only the model below takes
            self._peft.base_model.set_adapter(inner)


@contextlib.contextmanager
def _before_text(model: Module, prefix: PrefixEncoder) -> Iterator[None]:
    """A prefix is seen for a while."""
    slot = prefix_slot(model)
    slot.active = prefix
    try:
        yield
    finally:
        slot.active = None


@contextlib.contextmanager
def _exchanged(biases: list[tuple[Tensor, Tensor]]) -> Iterator[None]:
    """The base's biases are an adapter's for a while."""
    own = [bias.clone() for bias, _trained in biases]
    for bias, trained in biases:
        bias.copy_(trained)
    try:
        yield
    finally:
        for (bias, _trained), before in zip(biases, own, strict=True):
            bias.copy_(before)
