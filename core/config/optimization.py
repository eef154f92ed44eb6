"""How the weights are moved: batches, steps, the learning rate and its schedule."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from core.config.fields import Also, Section
from core.config.foreign import MOVING
from core.errors import Problem
from core.i18n import _

Beta = Annotated[float, Field(ge=0, lt=1)]


class OptimizationOptions(Section):
    """How the weights are moved."""

    title: ClassVar[str] = "Optimisation"
    elsewhere: ClassVar[Mapping[str, str]] = MOVING

    learning_rate: Annotated[float, Field(gt=0), Also("lr")] = 5e-5
    """The step size at its highest."""

    num_train_epochs: Annotated[float, Field(gt=0), Also("epochs")] = 3.0
    """Passes over the rows; max_steps wins over it."""

    max_steps: Annotated[int | None, Field(ge=-1)] = None
    """Updates in all. Not given, or -1: as num_train_epochs says."""

    per_device_train_batch_size: Annotated[int, Field(ge=1), Also("batch_size", "train_batch_size")] = 8
    """Rows that a device takes at once. Memory goes with it, what is learnt does not."""

    gradient_accumulation_steps: Annotated[int, Field(ge=1)] = 1
    """Batches whose gradients make one update."""

    per_device_eval_batch_size: Annotated[int, Field(ge=1)] = 8
    """Rows that a device takes at once in evaluations."""

    lr_scheduler_type: Literal[
        "linear", "cosine", "constant", "constant_with_warmup", "cosine_with_restarts", "polynomial", "inverse_sqrt"
    ] = "linear"
    """How the learning rate goes on after the warm-up."""

    warmup_steps: Annotated[float, Field(ge=0)] = 0
    """Updates in which the learning rate rises from 0; below 1 a share of all updates. Wins over warmup_ratio."""

    warmup_ratio: Annotated[float, Field(ge=0, le=1)] = 0.0
    """The share of all updates in which the learning rate rises from 0."""

    optim: Literal["adamw_torch", "adamw_torch_fused", "sgd", "adafactor", "adamw_8bit"] = "adamw_torch"
    """The optimiser."""

    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Pulls weights towards 0, biases and norms excepted."""

    adam_beta1: Beta = 0.9
    """Adam's memory of gradients."""

    adam_beta2: Beta = 0.999
    """Adam's memory of their squares."""

    adam_epsilon: Annotated[float, Field(gt=0)] = 1e-8
    """Adam's smallest divisor."""

    max_grad_norm: Annotated[float, Field(ge=0)] = 1.0
    """Longer gradients are shortened to this length. 0: never."""

    label_smoothing_factor: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """The share of the loss that is spread over all tokens."""

    bf16: bool = False
    """Compute in bfloat16, keep what is trained in float32."""

    fp16: bool = False
    """Compute in float16 with a loss scale; for accelerators without bfloat16."""

    pure_bf16: bool = False
    """Hold and train everything in bfloat16."""

    gradient_checkpointing: Literal["auto", "true", "false"] = "auto"
    """Compute again in the backward pass instead of keeping. Less memory, a third more time. auto: where the estimate
    of the memory asks for it."""

    torch_compile: Literal["auto", "true", "false"] = "auto"
    """Compile the layers. auto: for long runs, where it was seen to pay."""

    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 42
    """The same seed trains the same again."""

    data_seed: Annotated[int | None, Field(ge=0, le=2**32 - 1)] = None
    """The seed of the rows' order. Not given: seed."""

    shuffle: bool = True
    """Take the rows in another order in each epoch."""

    dataloader_num_workers: Annotated[int, Field(ge=0)] = 0
    """Rows are read from a memory map, which needs no workers; any number does the same."""

    def conflicts(self) -> Iterator[Problem]:
        chosen = [name for name in ("bf16", "fp16", "pure_bf16") if getattr(self, name)]
        if len(chosen) > 1:
            yield Problem(chosen[1], _("stands beside {other}").format(other=chosen[0]), _("give one of the two"))
        if self.max_steps == 0:
            yield Problem("max_steps", _("0 trains nothing"), _("leave it out, or give -1, for num_train_epochs"))
