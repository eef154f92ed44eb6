"""The processes that train together, and the number formats they compute in: accelerate's share of the work.

Every process holds the whole model and takes its share of each update's rows; gradients are summed by one all-reduce an
update. The model is not wrapped: a wrapper that reduces in the backward pass would reduce once a micro-batch.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any, Literal, TypeAlias

import torch
import torch.distributed
from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs
from torch import Tensor, nn
from torch.optim import Optimizer

Precision: TypeAlias = Literal["no", "bf16", "fp16"]


class Processes:
    """This process among its peers; by itself in most runs."""

    def __init__(self, device: torch.device, precision: Precision = "no", timeout_seconds: int = 1800) -> None:
        self._accelerator = Accelerator(
            mixed_precision=precision,
            cpu=device.type == "cpu",
            kwargs_handlers=[InitProcessGroupKwargs(timeout=timedelta(seconds=timeout_seconds))],
        )
        self.device = device
        self.rank: int = self._accelerator.process_index
        self.world: int = self._accelerator.num_processes

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def autocast(self) -> AbstractContextManager[Any]:
        """Computing in 16 bits, where the options ask for it."""
        context: AbstractContextManager[Any] = self._accelerator.autocast()
        return context

    @property
    def scaler(self) -> torch.amp.GradScaler | None:
        """Scales float16 losses, whose gradients would vanish."""
        scaler: torch.amp.GradScaler | None = self._accelerator.scaler
        return scaler

    def step(self, optimizer: Optimizer) -> bool:
        """Move the weights; False when float16 overflowed and the update is left out."""
        if self.scaler is None:
            optimizer.step()
            return True
        before = self.scaler.get_scale()
        self.scaler.step(optimizer)
        self.scaler.update()
        return self.scaler.get_scale() >= before

    def sum_gradients(self, parameters: Iterable[nn.Parameter], *sums: Tensor) -> list[Tensor]:
        """Add up all processes' gradients in place, and some scalars beside them, by one all-reduce.

        Returns:
            The sums of the scalars.
        """
        if self.world == 1:
            return list(sums)
        trained = list(parameters)
        for parameter in trained:
            if parameter.grad is None:  # a process without rows in a short last update
                parameter.grad = torch.zeros_like(parameter)
        gradients = [parameter.grad for parameter in trained if parameter.grad is not None]
        flat = torch.cat([part.detach().reshape(-1).float() for part in (*gradients, *sums)])
        torch.distributed.all_reduce(flat)
        at = 0
        for gradient in gradients:
            gradient.copy_(flat[at : at + gradient.numel()].view_as(gradient))
            at += gradient.numel()
        return list(flat[at:])

    def sum(self, values: Tensor) -> Tensor:
        """Add a tensor up over all processes."""
        if self.world > 1:
            torch.distributed.all_reduce(values)
        return values

    def agree(self, *flags: bool) -> tuple[bool, ...]:
        """What any of the processes says."""
        if self.world == 1:
            return flags
        said = torch.tensor(flags, dtype=torch.int32, device=self.device)
        torch.distributed.all_reduce(said, op=torch.distributed.ReduceOp.MAX)
        return tuple(bool(flag) for flag in said.tolist())

    def gather(self, value: Any) -> list[Any]:
        """Every process's value (numbers, texts, tensors, and what is made of them), by rank; they are small."""
        if self.world == 1:
            return [value]
        written = io.BytesIO()
        torch.save(value, written)
        gathered: list[Any] = [None] * self.world
        torch.distributed.all_gather_object(gathered, written.getvalue())
        return [torch.load(io.BytesIO(one), weights_only=True) for one in gathered]

    def spread(self, parameters: Iterable[Tensor]) -> None:
        """Give everybody the first process's values."""
        if self.world > 1:
            for parameter in parameters:
                torch.distributed.broadcast(parameter.data, src=0)

    def wait(self) -> None:
        """Until everybody is here."""
        if self.world > 1:
            torch.distributed.barrier()

    def leave(self) -> None:
        """The work is done."""
        self._accelerator.end_training()


def local_rank() -> int:
    """This process's number on its machine; its device carries the same."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def local_processes() -> int:
    """How many of them run on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
