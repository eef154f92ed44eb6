"""A base model from a local folder, ready to answer.

Only safetensors are read and only transformers' own classes are run, unless flags say otherwise. Weights that are
missing are an error and weights that nobody asked for a warning: a model that answers with random layers looks like a
badly trained one for hours.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.modeling_utils import PreTrainedModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.utils import logging

from core.engine.fused import FusedModel, is_fusable
from core.engine.fused_layer import Module
from core.engine.manner import Manner, manner_of_model
from core.engine.quantized import few_bits, settle
from core.engine.stock import StockModel
from core.engine.template import Template
from core.engine.tokenizer import Tokenizer, load_tokenizer
from core.errors import ModelError, UsageError
from core.hardware import free_physical_cores
from core.i18n import _, plural
from core.serve.protocol import Load, Phase

UNKNOWN_CONTEXT = 2048


@dataclass
class BaseModel:
    """A loaded base and what is needed to chat with it."""

    name: str
    """As people call it."""
    folder: Path
    network: PreTrainedModel
    tokenizer: Tokenizer
    manner: Manner
    wanted_template: str
    """As it was asked for; `auto` leaves an adapter its own."""
    fused: FusedModel | None
    stock: StockModel
    end_ids: frozenset[int]
    context_length: int
    threads: int
    warnings: tuple[str, ...]
    merged: tuple[str, ...] = ()
    """Hashes of adapters that lie in the weights, in their order; it is the base of what was trained over them."""

    @property
    def template(self) -> Template:
        return self.manner.template

    @property
    def architecture(self) -> str:
        return type(self.network).__name__

    @property
    def parameters(self) -> int:
        return sum(weight.numel() for weight in self.network.parameters())

    @property
    def dtype(self) -> str:
        return str(self.network.dtype).removeprefix("torch.")

    @property
    def device(self) -> torch.device:
        device: torch.device = self.network.device
        return device


def load_base(request: Load, on_phase: Callable[[Phase], None], bits: int | None = None) -> BaseModel:
    """Load a base model as a request describes it.

    Args:
        bits: hold its weights in 8 or 4 bits.

    Raises:
        ModelError: the folder is no model that may be loaded.
        UsageError: the template or the device does not exist.
    """
    folder = Path(request.model)
    on_phase("reading")
    config = read_config(folder)
    refuse_risks(folder, config, request)
    tokenizer = load_tokenizer(folder, request.trust_remote_code)
    manner = manner_of_model(folder, request.template, tokenizer)
    device = choose_device(request.device)
    threads = request.threads or free_physical_cores()
    torch.set_num_threads(threads)
    on_phase("loading")
    dtype = choose_dtype(request.dtype, device)
    network, warnings = load_network(folder, request, device, dtype, few_bits(bits, dtype) if bits else None)
    if bits:
        settle(network)
    text_config = network.config.get_text_config()
    return BaseModel(
        name=model_name(folder),
        folder=folder,
        network=network,
        tokenizer=tokenizer,
        manner=manner,
        wanted_template=request.template,
        fused=FusedModel(network) if is_fusable(network) else None,
        stock=StockModel(network),
        end_ids=end_ids(folder, config) | tokenizer.eos_ids | manner.template.end_ids,
        context_length=getattr(text_config, "max_position_embeddings", None) or UNKNOWN_CONTEXT,
        threads=threads,
        warnings=tuple(warnings),
    )


def model_name(folder: Path) -> str:
    """A folder's name; in the hub's cache (`models--owner--name/snapshots/revision`) the model's."""
    if folder.parent.name == "snapshots":
        return folder.parent.parent.name.removeprefix("models--").replace("--", "/")
    return folder.name


def read_config(folder: Path) -> dict[str, Any]:
    """A model folder's config.json.

    Raises:
        ModelError: there is none, or it is broken.
    """
    try:
        config = json.loads((folder / "config.json").read_bytes())
    except OSError as error:
        raise ModelError(
            _("{folder} is no model: config.json cannot be read").format(folder=folder),
            _("a model folder holds config.json, *.safetensors and tokenizer files"),
        ) from error
    except ValueError as error:
        raise ModelError(_("{folder}/config.json is broken: {error}").format(folder=folder, error=error)) from error
    if not isinstance(config, dict):
        raise ModelError(_("{folder}/config.json is broken: it is no object").format(folder=folder))
    return config


def refuse_risks(folder: Path, config: dict[str, Any], request: Load) -> None:
    """Refuse what could run code that nobody has agreed to.

    Raises:
        ModelError: the folder brings its own code or pickles, or holds no weights at all.
    """
    has_own_code = "auto_map" in config and config.get("model_type") not in CONFIG_MAPPING
    if has_own_code and not request.trust_remote_code:
        raise ModelError(
            _("{folder} brings Python code of its own, which is not run").format(folder=folder),
            _("--trust_remote_code runs it with all your rights: read the *.py files of the folder first"),
        )
    if any(folder.glob("*.safetensors")):
        return
    pickles = [path.name for pattern in ("*.bin", "*.pt", "*.pth") for path in sorted(folder.glob(pattern))]
    if not pickles:
        raise ModelError(
            _("{folder} holds no weights").format(folder=folder),
            _("*.safetensors are expected; `finetui models pull` fetches whole models"),
        )
    if not request.allow_pickle:
        raise ModelError(
            _("{folder} holds its weights as pickles ({file}), which are not read").format(
                folder=folder, file=pickles[0]
            ),
            _("a pickle can run any code when it is read; --allow_pickle reads it, if you trust whoever made it"),
        )


def choose_device(name: str) -> torch.device:
    """`auto`, or the name of a device.

    Raises:
        UsageError: this machine has no such device.
    """
    has_cuda = torch.cuda.is_available()  # also of AMD's and Hygon's cards
    has_mps = torch.backends.mps.is_available()
    if name in ("auto", ""):
        return torch.device("cuda" if has_cuda else "mps" if has_mps else "cpu")
    try:
        device = torch.device(name.replace("rocm", "cuda"))
    except RuntimeError as error:
        raise UsageError(_("there is no kind of device {name!r}").format(name=name), "auto, cpu, cuda, mps") from error
    usable = {"cpu": True, "cuda": has_cuda and (device.index or 0) < torch.cuda.device_count(), "mps": has_mps}
    if not usable.get(device.type, False):
        raise UsageError(
            _("this machine has no device {name!r}").format(name=name), _("`auto` takes the best that is there")
        )
    return device


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """bfloat16 where it is fast. On CPUs without matrix units it is slower than float32 and changes answers."""
    if name != "auto":
        dtype: torch.dtype = getattr(torch, name)
        return dtype
    if device.type == "cpu":
        return torch.float32
    if device.type == "cuda" and not torch.cuda.is_bf16_supported():
        return torch.float16
    return torch.bfloat16


def number_format(dtype: torch.dtype) -> Literal["float32", "bfloat16", "float16"]:
    """A format as a request names it."""
    words: dict[torch.dtype, Literal["float32", "bfloat16", "float16"]] = {
        torch.bfloat16: "bfloat16",
        torch.float16: "float16",
    }
    return words.get(dtype, "float32")


def load_network(
    folder: Path,
    request: Load,
    device: torch.device,
    dtype: torch.dtype,
    quantization: object = None,
    loader: Any = AutoModelForCausalLM,
) -> tuple[Module, list[str]]:
    """A network with all its weights, none of them trained, and what should be said about it.

    Args:
        quantization: transformers' configuration of weights in fewer bits.
        loader: transformers' class for what the network is to do.

    Raises:
        ModelError: the folder cannot be loaded, or lacks weights.
    """
    quiet: Any = logging
    quiet.disable_progress_bar()
    quiet.set_verbosity_error()
    placed: dict[str, Any] = {} if device.type == "cpu" else {"device_map": {"": device}}
    if quantization is not None:
        placed = {"device_map": {"": device}, "quantization_config": quantization}
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=request.trust_remote_code)
        network, info = loader.from_pretrained(
            folder,
            config=config,
            dtype=dtype,
            trust_remote_code=request.trust_remote_code,
            use_safetensors=None if request.allow_pickle else True,
            output_loading_info=True,
            **placed,
        )
    except (OSError, ValueError, KeyError, AttributeError, ImportError, SafetensorError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "mismatch" not in str(error):
            raise  # out of memory is no property of the folder
        raise ModelError(
            _("{folder} cannot be loaded: {error}").format(folder=folder, error=_first_lines(error)),
            _("is the folder complete, and its architecture known to this transformers?"),
        ) from error
    missing = sorted(info.get("missing_keys", ()))
    if missing:
        raise ModelError(
            _("{folder}: {many}: {names}").format(
                folder=folder,
                many=plural("{count} weight is missing", "{count} weights are missing", len(missing)),
                names=", ".join(missing[:3]),
            ),
            _("the folder is incomplete or of another architecture; answers would be noise"),
        )
    unexpected = sorted(info.get("unexpected_keys", ()))
    warnings = []
    if unexpected:
        many = plural("{count} weight is not used", "{count} weights are not used", len(unexpected))
        warnings.append(f"{many}: {', '.join(unexpected[:3])}")
    network.eval().requires_grad_(False)
    return network, warnings


def end_ids(folder: Path, config: dict[str, Any]) -> frozenset[int]:
    """All that the model's files call an end: instruct models often name several, in different files."""
    found: set[int] = set()
    generation = folder / "generation_config.json"
    try:
        sources = [config, json.loads(generation.read_bytes())] if generation.is_file() else [config]
    except ValueError as error:
        raise ModelError(_("{path} is not valid JSON: {error}").format(path=generation, error=error)) from error
    for source in sources:
        text_config = source.get("text_config")
        for place in (source, text_config if isinstance(text_config, dict) else {}):
            ids = place.get("eos_token_id")
            found.update(i for i in (ids if isinstance(ids, list) else [ids]) if isinstance(i, int))
    return frozenset(found)


def _first_lines(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
