"""The optimiser that an option names, over the groups that a method asks for.

The numbers are those of transformers' trainer: SGD without momentum, Adafactor with a learning rate from outside, 8-bit
Adam through bitsandbytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import transformers.optimization
from torch.optim import Optimizer

from core.config.optimization import OptimizationOptions
from core.engine.tuning.tunable import ParameterGroup
from core.errors import UsageError
from core.i18n import _


def build_optimizer(groups: Sequence[ParameterGroup], options: OptimizationOptions) -> Optimizer:
    """The optimiser over all groups, each with its own learning rate and weight decay.

    Raises:
        UsageError: nothing is trained, or this machine lacks what the optimiser needs.
    """
    settings = [
        {"params": list(group.parameters), "lr": group.learning_rate, "weight_decay": group.weight_decay}
        for group in groups
        if group.parameters
    ]
    if not settings:
        raise UsageError(_("nothing of the model is trained"), _("choose other layers or modules"))
    betas, epsilon = (options.adam_beta1, options.adam_beta2), options.adam_epsilon
    match options.optim:
        case "sgd":
            return torch.optim.SGD(settings, lr=options.learning_rate)
        case "adafactor":
            adafactor: Any = transformers.optimization.Adafactor
            optimizer: Optimizer = adafactor(
                settings, lr=options.learning_rate, scale_parameter=False, relative_step=False
            )
            return optimizer
        case "adamw_8bit":
            return _adamw_8bit(settings, options)
        case "adamw_torch" | "adamw_torch_fused":
            fused = options.optim == "adamw_torch_fused"
            return torch.optim.AdamW(
                settings, lr=options.learning_rate, betas=betas, eps=epsilon, fused=True if fused else None
            )


def _adamw_8bit(settings: list[dict[str, Any]], options: OptimizationOptions) -> Optimizer:
    try:
        import bitsandbytes  # 0.5 s, and an extra
    except ImportError as error:
        raise UsageError(
            _("optim adamw_8bit needs bitsandbytes, which is not installed"),
            _("pip install 'finetui[quant]', or take adamw_torch"),
        ) from error
    betas = (options.adam_beta1, options.adam_beta2)
    adamw: Any = bitsandbytes.optim
    optimizer: Optimizer = adamw.AdamW8bit(settings, lr=options.learning_rate, betas=betas, eps=options.adam_epsilon)
    return optimizer
