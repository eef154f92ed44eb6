"""`python -P -m core.engine.merge REQUEST.json`: adapters merged into their base, and the proof that nothing changed.

Each adapter is put over what is merged already, asked some questions, merged, and asked again: in float32 the logits
may differ by rounding only, or nothing is written. What is written is loaded again and asked too, so that the price of
a shorter number format is known. On standard output: JSON lines, the stages as they begin and then the result or an
error. The caller makes a finished folder visible by a rename.
"""

from __future__ import annotations

import dataclasses
import gc
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.chat.message import Message
from core.config.data import DataOptions
from core.engine.adapters import AdapterFolder
from core.engine.fused_layer import Module
from core.engine.load import choose_device, load_network, read_config
from core.engine.manner import Manner, manner_of_adapter
from core.engine.tuning.base import TrainingBase, describe_base, load_plainly
from core.engine.tuning.card import write_card
from core.engine.tuning.chain import attach, chained, merge_attached, merged_facts
from core.engine.tuning.saving import save_model, stored_dtype
from core.errors import FinetuiError, ModelError
from core.i18n import _
from core.models.child import end_with_parent
from core.models.notes import AdapterNotes, text_sha256, write_notes
from core.serve.protocol import Load

PROBES = ("Hello!", "What is the capital of France?", "Write one sentence about the sea.", "你好，请介绍一下你自己。")
"""What is asked before and after."""
_ROUNDING = 1e-3
"""The largest difference of float32 logits that merging may make, as a share of their size."""


@dataclass(frozen=True, slots=True)
class Proof:
    """How far two networks' logits on the probes lie apart."""

    difference: float
    """The largest absolute one."""
    size: float
    """The largest absolute logit, for comparison."""
    positions: int
    same_choices: int
    """At how many positions the likeliest token is the same."""


@dataclass(frozen=True, slots=True)
class MergeRequest:
    """What is to be merged into what, and where it goes."""

    model: str
    adapters: tuple[str, ...]
    folder: str
    dtype: str = "auto"
    """Of the weights that are written; auto: as the base's."""
    device: str = "auto"


def merge(request: MergeRequest, told: Callable[[str], None]) -> dict[str, Any]:
    """Write the merged model; returns facts and proofs for `--json`.

    Raises:
        ModelError: something cannot be merged, or merging would change the answers.
    """
    refuse_quantized(Path(request.model))
    order = chained([Path(path) for path in request.adapters])
    told(_("loading {model}").format(model=Path(request.model).name))
    base = load_plainly(Path(request.model), choose_device(request.device), torch.float32)
    top = order[-1]
    manner, _said = manner_of_adapter(top.notes, Manner(base.template), base.folder, "auto")
    prompts = [list(manner.template.rendering(manner.messages([Message("user", text)])).ids) for text in PROBES]
    proofs = []
    for folder in order:
        told(_("merging {adapter}").format(adapter=folder.path.name))
        proofs.append(merge_one(base, folder, prompts))
    told(_("writing"))
    merged = logits_of(base.network, prompts)
    dtype = stored_dtype(base.folder) or torch.float32 if request.dtype == "auto" else getattr(torch, request.dtype)
    written = Path(request.folder)
    _write(base, manner, order, written, dtype)
    del base
    gc.collect()
    told(_("comparing what was written"))
    stored = compare(merged, logits_of(_read_again(written, request), prompts))
    return {
        "dtype": str(dtype).removeprefix("torch."),
        "adapters": [str(folder.path) for folder in order],
        "probes": len(PROBES),
        "merging": dataclasses.asdict(max(proofs, key=lambda proof: proof.difference)),
        "stored": dataclasses.asdict(stored),
    }


def refuse_quantized(folder: Path) -> None:
    """Raises ModelError where a base's weights are no plain numbers."""
    if read_config(folder).get("quantization_config"):
        raise ModelError(
            _("{folder} holds quantised weights, into which nothing can be merged exactly").format(folder=folder),
            _("merge into the model that it was made from: --model"),
        )


def merge_one(base: TrainingBase, folder: AdapterFolder, prompts: Sequence[Sequence[int]]) -> Proof:
    """Merge an adapter into a base's network, comparing the answers beside and inside it.

    Raises:
        ModelError: they differ by more than rounding.
    """
    attached = attach(base.network, folder, base.name).eval()
    beside = logits_of(attached.get_base_model(), prompts)
    merge_attached(attached, folder)
    proof = compare(beside, logits_of(base.network, prompts))
    if not proof.difference <= _ROUNDING * max(proof.size, 1.0):
        raise ModelError(
            _("merging {adapter} changes the answers: logits differ by {difference:.3g}").format(
                adapter=folder.path, difference=proof.difference
            ),
            _("its numbers may be too large for float32; take an earlier checkpoint"),
        )
    return proof


@torch.no_grad()
def logits_of(network: Module, prompts: Sequence[Sequence[int]]) -> list[Tensor]:
    """float32 logits at every position of each prompt, [length, vocabulary]."""
    device = network.device
    return [
        network(input_ids=torch.tensor([list(ids)], device=device), use_cache=False).logits[0].float().cpu()
        for ids in prompts
    ]


def compare(before: Sequence[Tensor], after: Sequence[Tensor]) -> Proof:
    """How far logits lie apart."""
    pairs = list(zip(before, after, strict=True))
    return Proof(
        difference=max(float((one - other).abs().max()) for one, other in pairs),
        size=max(float(one.abs().max()) for one in before),
        positions=sum(len(one) for one in before),
        same_choices=sum(int((one.argmax(-1) == other.argmax(-1)).sum()) for one, other in pairs),
    )


def _write(
    base: TrainingBase, manner: Manner, order: Sequence[AdapterFolder], folder: Path, dtype: torch.dtype
) -> None:
    """The model folder: weights, tokenizer, template, generation config, notes and card."""
    source = with_system(manner.template.source, manner.default_system)
    asked = dataclasses.replace(manner.template, source=source)
    save_model(base.network, dataclasses.replace(base, template=asked), folder, dtype)
    top = order[-1].notes or AdapterNotes()
    notes = dataclasses.replace(
        describe_base(base, DataOptions(default_system=manner.default_system, source_prefix=manner.source_prefix)),
        method="merged",
        template="tokenizer",
        template_sha256=text_sha256(source),
        enable_thinking=manner.enable_thinking,
        chain=merged_facts(order),
        datasets=top.datasets,
    )
    write_notes(folder, notes)
    write_card(folder, notes, {"adapters": ", ".join(one.path.name for one in order)})


def with_system(source: str, system: str) -> str:
    """A chat template that puts in a system prompt where a conversation brings none, for whoever else loads it."""
    if not system:
        return source
    message = f'{{"role": "system", "content": {json.dumps(system)}}}'
    return (
        "{%- if not messages or messages[0]['role'] != 'system' %}"
        f"{{%- set messages = [{message}] + messages %}}"
        f"{{%- endif %}}{source}"
    )


def _read_again(folder: Path, request: MergeRequest) -> Module:
    device = choose_device(request.device)
    network, _warnings = load_network(folder, Load(1, str(folder)), device, torch.float32)
    return network


def _records(request: MergeRequest) -> Iterator[dict[str, Any]]:
    """Run a request; the last record is its result or its error."""
    try:
        yield {"result": merge(request, _tell)}
    except FinetuiError as error:
        yield {"error": {"message": error.message, "hint": error.hint}}


def _tell(stage: str) -> None:
    print(json.dumps({"stage": stage}), flush=True)


def main(path: Path) -> int:
    """Serve the request in a file; returns the exit code."""
    fields = json.loads(path.read_bytes())
    request = MergeRequest(**{**fields, "adapters": tuple(fields["adapters"])})
    failed = False
    for record in _records(request):
        failed = "error" in record
        print(json.dumps(record), flush=True)
    return int(failed)


if __name__ == "__main__":
    end_with_parent()
    sys.exit(main(Path(sys.argv[1])))
