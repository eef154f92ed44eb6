"""Which model answers, and how it is held in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from core.config.fields import Also, Section, Shown, SplitAt
from core.config.foreign import CHATTING, LOADING
from core.errors import Problem
from core.i18n import _


class BaseModelOptions(Section):
    """Which model is worked on."""

    title: ClassVar[str] = "Model"
    elsewhere: ClassVar[Mapping[str, str]] = LOADING

    model_name_or_path: Annotated[str, Field(min_length=1), Also("model"), Shown("MODEL")] = "default"
    """A folder, a model of the workspace or of the Hugging Face cache (see `finetui models list`)."""

    template: Annotated[str, Field(min_length=1), Shown("NAME")] = "auto"
    """How a conversation becomes a prompt. auto: the tokenizer's own chat template, else `default`."""

    dtype: Annotated[Literal["auto", "float32", "bfloat16", "float16"], Also("infer_dtype", "torch_dtype")] = "auto"
    """Number format of the weights. auto: bfloat16 on accelerators, and for new LoRA on CPUs with AMX; else float32."""

    device: Annotated[str, Field(min_length=1), Shown("DEVICE")] = "auto"
    """cpu, cuda, cuda:1, mps. auto: the first accelerator there is."""

    threads: Annotated[int, Field(ge=0)] = 0
    """CPU threads. 0: the physical cores that are free."""

    trust_remote_code: bool = False
    """Run Python code that comes with the model's folder. It can do whatever you can."""

    allow_pickle: bool = False
    """Load weights from pickle files (*.bin). Opening one can run any code that its maker put in."""


class ModelOptions(BaseModelOptions):
    """Which model answers, and the adapters beside it."""

    elsewhere: ClassVar[Mapping[str, str]] = {**LOADING, **CHATTING}

    adapter_name_or_path: Annotated[
        tuple[str, ...], SplitAt(","), Also("adapter", "checkpoint_dir", "ptuning_checkpoint"), Shown("ADAPTER,…")
    ] = ()
    """Adapters to load beside the model. Several stay apart, each with its own answers; they are not added up."""

    finetuning_type: Literal["lora", "p_tuning", "full", "freeze"] | None = None
    """How the adapter was trained. Read from the adapter itself; when given, it has to agree."""

    def conflicts(self) -> Iterator[Problem]:
        if self.finetuning_type in ("full", "freeze") and self.adapter_name_or_path:
            yield Problem(
                "adapter_name_or_path",
                _("finetuning_type {name} makes whole models, which have no adapter").format(name=self.finetuning_type),
                _("give the trained folder as model_name_or_path, or leave finetuning_type out"),
            )
