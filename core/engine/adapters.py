"""Adapter folders: what they hold, whether they fit, and who serves them.

Plain LoRA, rsLoRA, rank and alpha patterns and DoRA are read here, without importing peft (0.3 s and more), and served
by the fast forward. Whatever else PEFT knows (saved modules, trained embeddings or biases, other methods) goes through
PEFT itself on transformers' own forward. Prefixes of P-Tuning v2 are our own matter (`core.engine.prefix`); PEFT's
saved ones are read too. Its other kinds of virtual tokens are served by nobody.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open
from torch import Tensor, nn

from core.engine.fused_layer import FusedLayer, Module
from core.engine.lora import FUSED_PLACES, LoraAdapter, LoraFactors
from core.errors import AdapterMismatch, ModelError
from core.i18n import _
from core.models.notes import PREFIX_FILE, AdapterNotes, MergedAdapter, read_notes, sha256_of

_VIRTUAL_TOKENS = {"P_TUNING", "PROMPT_TUNING", "MULTITASK_PROMPT_TUNING", "CARTRIDGE", "CPT"}
_PEFT_ONLY = (
    "modules_to_save",
    "trainable_token_indices",
    "target_parameters",
    "alora_invocation_tokens",
    "lora_bias",
    "use_qalora",
    "use_bdlora",
    "arrow_config",
    "velora_config",
    "monteclora_config",
    "fan_in_fan_out",
)
"""Options of LoRA that change more than a linear layer's product."""
_BASE_CHANGING_INITS = ("pissa", "corda", "olora", "loftq", "lora_ga")
"""Ways to begin a LoRA that subtract the beginning from the base; what was trained then fits that other base only."""
_KEY = re.compile(r"^base_model\.model\.model\.layers\.(\d+)\.(.+)\.(lora_A|lora_B|lora_magnitude_vector)(\.weight)?$")

_NEAR = 3
"""Folders upward in which a moved adapter is looked for: from RUN/checkpoints/STEP to the folder of runs."""
_FACTOR = re.compile(r"^base_model\.model\.(.+)\.lora_(A|B)\.weight$")


@dataclass(frozen=True)
class AdapterFolder:
    """An adapter on disk."""

    path: Path
    config: Mapping[str, Any]
    """PEFT's; empty for a prefix of ours."""
    notes: AdapterNotes | None = None

    @property
    def method(self) -> str:
        """`lora`, `dora`, `rslora`, `p_tuning`, or PEFT's own word in small letters."""
        if self.is_prefix:
            return "p_tuning"
        kind = str(self.config.get("peft_type", "")).lower()
        if kind != "lora":
            return kind
        if self.config.get("use_dora"):
            return "dora"
        return "rslora" if self.config.get("use_rslora") else "lora"

    @property
    def base(self) -> str:
        """The model that it was trained on, as it was called then."""
        return str(self.config.get("base_model_name_or_path") or (self.notes.base if self.notes else ""))

    @property
    def is_virtual_tokens(self) -> bool:
        return str(self.config.get("peft_type", "")) in _VIRTUAL_TOKENS

    @property
    def is_prefix(self) -> bool:
        """Whether it is a trained prefix (P-Tuning v2), of ours or of PEFT."""
        return not self.config or self.config.get("peft_type") == "PREFIX_TUNING"

    @property
    def weights(self) -> Path:
        return self.path / ("adapter_model.safetensors" if self.config else PREFIX_FILE)

    @property
    def chain(self) -> tuple[MergedAdapter, ...]:
        """What was merged into its base before it was trained, the lowest first."""
        return self.notes.chain if self.notes is not None else ()

    def lies_over(self, merged: Sequence[str]) -> bool:
        """Whether a base into which adapters of these hashes were merged is the one it was trained on, or one of those
        that came before."""
        return [under.sha256 for under in self.chain[: len(merged)]] == list(merged)

    def is_plain_lora(self) -> bool:
        """Whether `read_lora` can serve it."""
        if self.config.get("peft_type") != "LORA" or self.config.get("bias", "none") != "none":
            return False
        if any(self.config.get(name) for name in _PEFT_ONLY):
            return False
        with safe_open(self.weights, "pt") as file:
            matches = [_KEY.match(key) for key in file.keys()]  # noqa: SIM118 - a safetensors file is no mapping
        return all(match is not None and match[2] in FUSED_PLACES for match in matches)

    def adds_up(self) -> bool:
        """Whether its change of a weight is the same whatever else has been added to it."""
        return self.is_plain_lora() and not self.config.get("use_dora")


def open_adapter(path: Path) -> AdapterFolder:
    """Read an adapter's configuration.

    Raises:
        ModelError: the folder holds no adapter, its weights are a pickle, or its method needs its own support.
    """
    config_path = path / "adapter_config.json"
    notes = read_notes(path)
    if notes is not None and not config_path.exists() and (path / PREFIX_FILE).is_file():
        return AdapterFolder(path, {}, notes)
    try:
        config = json.loads(config_path.read_bytes())
    except OSError as error:
        raise ModelError(
            _("{path} is no adapter: adapter_config.json cannot be read").format(path=path),
            _("an adapter folder holds adapter_config.json and adapter_model.safetensors"),
        ) from error
    except ValueError as error:
        raise ModelError(_("{path} is not valid JSON: {error}").format(path=config_path, error=error)) from error
    if not isinstance(config, dict) or not config:
        raise ModelError(_("{path} holds no JSON object").format(path=config_path))
    folder = AdapterFolder(path, config, notes)
    if folder.is_virtual_tokens:
        raise ModelError(
            _("{path} holds virtual tokens of a kind that is not supported ({method})").format(
                path=path, method=folder.method
            ),
            _("P-Tuning v2 (p_tuning, PEFT's PREFIX_TUNING), LoRA and its variants are"),
        )
    _refuse_other_base(folder)
    if not folder.weights.is_file():
        pickle = (path / "adapter_model.bin").is_file()
        hint = _("adapter_model.bin is a pickle, which can run any code when it is read; save it as safetensors")
        raise ModelError(_("{path} holds no adapter_model.safetensors").format(path=path), hint if pickle else "")
    return folder


def below(folder: AdapterFolder, merged: Sequence[str] = ()) -> list[AdapterFolder]:
    """The adapters that were merged into its base before it was trained, the lowest first.

    Args:
        merged: hashes of those that lie in the base at hand already (`lies_over`), which are left out.

    Raises:
        ModelError: one is not where it was, or is not what it was.
    """
    found = []
    for under in folder.chain[len(merged) :]:
        lower = _where(Path(under.path), folder.path)
        if not lower.is_dir():
            raise ModelError(
                _("{path} was trained over the adapter {lower}, which is not there").format(
                    path=folder.path, lower=lower
                ),
                _("put it back; its answers mean nothing without it"),
            )
        opened = open_adapter(lower)
        if sha256_of([opened.weights]) != under.sha256:
            raise ModelError(
                _("{path} was trained over the adapter {lower}, which has changed since").format(
                    path=folder.path, lower=lower
                ),
                _("put back what it was then, or train again"),
            )
        found.append(opened)
    return found


def _where(recorded: Path, beside: Path) -> Path:
    """Where an adapter was; or, when all of it has moved, the folder of its name near the one that needs it."""
    near = [parent / recorded.name for parent in list(beside.absolute().parents)[:_NEAR]]
    return next((place for place in (recorded, *near) if place.is_dir()), recorded)


def _refuse_other_base(folder: AdapterFolder) -> None:
    """Refuse what would need other base weights or layers than those that all adapters share."""
    start = str(folder.config.get("init_lora_weights", ""))
    if start.lower().startswith(_BASE_CHANGING_INITS):
        raise ModelError(
            _("{path} was begun by {start}, which changes the base weights").format(path=folder.path, start=start),
            _("save it as a plain LoRA: save_pretrained(…, path_initial_model_for_weight_conversion=…) of PEFT"),
        )
    if folder.config.get("layer_replication"):
        raise ModelError(
            _("{path} repeats layers of its base (layer_replication)").format(path=folder.path),
            _("merge it into its base and load the whole model"),
        )


def read_lora(folders: Sequence[AdapterFolder], layers: list[FusedLayer], model_name: str) -> LoraAdapter:
    """Load a plain LoRA adapter, with those that it was trained over before it, beside fused layers.

    Raises:
        AdapterMismatch: tensors belong to another base model.
    """
    factors: dict[tuple[int, str], list[LoraFactors]] = {}
    for folder in folders:
        for place, one in _factors(folder, layers, model_name):
            factors.setdefault(place, []).append(one)
    return LoraAdapter(layers, factors)


def _factors(
    folder: AdapterFolder, layers: list[FusedLayer], model_name: str
) -> Iterator[tuple[tuple[int, str], LoraFactors]]:
    tensors: dict[tuple[int, str], dict[str, Tensor]] = {}
    with safe_open(folder.weights, "pt") as file:
        for key in file.keys():  # noqa: SIM118 - a safetensors file is no mapping
            match = _KEY.match(key)
            assert match is not None  # is_plain_lora has looked
            tensors.setdefault((int(match[1]), match[2]), {})[match[3]] = file.get_tensor(key)
    for (index, module), parts in tensors.items():
        name = f"model.layers.{index}.{module}"
        if index >= len(layers) or not {"lora_A", "lora_B"} <= parts.keys():
            raise mismatch(folder, model_name, _("the model has no {name}").format(name=name))
        _check_shape(folder, model_name, name, parts, layers[index], module)
        scale = _scale(folder.config, name, len(parts["lora_A"]))
        yield (index, module), LoraFactors(parts["lora_A"], parts["lora_B"], scale, parts.get("lora_magnitude_vector"))


def check_fits(folder: AdapterFolder, network: Module, model_name: str) -> None:
    """Compare an adapter's factors with the layers that they belong to; PEFT leaves out what finds no place.

    Raises:
        AdapterMismatch: a layer is missing or has another shape.
    """
    modules = dict(network.named_modules())
    with safe_open(folder.weights, "pt") as file:
        for key in file.keys():  # noqa: SIM118 - a safetensors file is no mapping
            match = _FACTOR.match(key)
            if match is None:
                continue
            name, is_a = match[1], match[2] == "A"
            weight = getattr(modules.get(name), "weight", None)
            if weight is None:
                raise mismatch(folder, model_name, _("the model has no {name}").format(name=name))
            here = weight.shape[1 if is_a else 0]
            there = file.get_slice(key).get_shape()[1 if is_a else 0]
            if type(modules[name]) is nn.Linear and here != there:
                detail = _("{name} is {here} wide here and {there} there")
                raise mismatch(folder, model_name, detail.format(name=name, here=here, there=there))


def mismatch(folder: AdapterFolder, model_name: str, detail: str) -> AdapterMismatch:
    """The error for an adapter of another base."""
    message = _("adapter {path} does not fit {model}: it was trained on {base}; {detail}")
    return AdapterMismatch(
        message.format(path=folder.path, model=model_name, base=folder.base or _("an unnamed model"), detail=detail),
        _("load the model that it was trained on"),
    )


def _check_shape(
    folder: AdapterFolder, model_name: str, name: str, parts: Mapping[str, Tensor], layer: FusedLayer, module: str
) -> None:
    place, part = FUSED_PLACES[module]
    linear = getattr(layer, place)
    rows = linear.parts[part]
    here = (rows.stop - rows.start, linear.weight.shape[1])
    there = (parts["lora_B"].shape[0], parts["lora_A"].shape[1])
    if here != there:
        detail = _("{name} is {here} here and {there} there")
        shapes = {"here": "×".join(map(str, here)), "there": "×".join(map(str, there))}
        raise mismatch(folder, model_name, detail.format(name=name, **shapes))


def _scale(config: Mapping[str, Any], name: str, rank: int) -> float:
    """alpha / r, or alpha / √r for rank-stabilised LoRA (arXiv:2312.03732)."""
    patterns: Mapping[str, float] = config.get("alpha_pattern") or {}
    key = next((key for key in patterns if re.match(rf"(.*\.)?({key})$", name)), None)
    alpha = patterns[key] if key is not None else config.get("lora_alpha", 8)
    return float(alpha) / (math.sqrt(rank) if config.get("use_rslora") else rank)
