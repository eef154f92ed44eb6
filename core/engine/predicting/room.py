"""How large batches and steps are: as large as pays, as far as memory goes."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from core.engine.cache import Geometry, common_prefix
from core.engine.chat_model import ChatModel
from core.engine.predicting.writing import Writing
from core.hardware import memory

_MOST_ROWS = {"cpu": 96}
_MOST_ROWS_ELSEWHERE = 256
"""Larger batches hardly gain: on a CPU the weights' products run at full speed from a hundred tokens a step on, which
rows and the prompts read beside them make up."""
_SHARE = 0.5
"""Of the memory that is free now."""
_FEWEST_STEP_TOKENS = 64
_STEP_TOKENS_ELSEWHERE = 4096


def affordable_rows(geometry: Geometry, longest: int) -> int:
    """Rows whose keys and values fit into memory, all of them as long as the longest may become."""
    token = geometry.layers * 2 * geometry.kv_heads * geometry.head_dim * geometry.dtype.itemsize
    device = geometry.device
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else memory().free
    most = _MOST_ROWS.get(device.type, _MOST_ROWS_ELSEWHERE)
    return min(max(int(_SHARE * free) // (token * longest), 1), most)


def step_tokens(chat: ChatModel) -> int:
    """How many tokens a step reads: a stop has to wait for so many."""
    if chat.base.device.type != "cpu":
        return _STEP_TOKENS_ELSEWHERE
    return max(chat.step_tokens, _FEWEST_STEP_TOKENS)


def shared_prefix(writings: Sequence[Writing]) -> tuple[int, ...]:
    """The tokens that all prompts begin with: a system prompt, solved questions. Each keeps one of its own."""
    prompts = [writing.question.ids for writing in writings]
    if len(prompts) < 2:
        return ()
    first, last = min(prompts), max(prompts)
    return first[: min(common_prefix(first, last), min(map(len, prompts)) - 1)]
