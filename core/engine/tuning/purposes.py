"""What linear layers are for, by their names alone: told without torch, for the plan, and for the training itself.

Names are the ends of module names. Commands come from other model families (`query_key_value`, `W_pack`, `c_attn`);
a name that this model lacks means its layers of the same purpose, and it is told which.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from core.errors import ModelError, did_you_mean
from core.i18n import _

_QKV, _OUT, _UP, _DOWN = ("q", "k", "v"), ("out",), ("gate", "up"), ("down",)
_PURPOSES: dict[str, tuple[str, ...]] = {
    "query_key_value": _QKV,
    "qkv_proj": _QKV,
    "W_pack": _QKV,
    "Wqkv": _QKV,
    "wqkv": _QKV,
    "c_attn": _QKV,
    "q_proj": ("q",),
    "k_proj": ("k",),
    "v_proj": ("v",),
    "wq": ("q",),
    "wk": ("k",),
    "wv": ("v",),
    "query": ("q",),
    "key": ("k",),
    "value": ("v",),
    "o_proj": _OUT,
    "out_proj": _OUT,
    "dense": _OUT,
    "wo": _OUT,
    "attn.c_proj": _OUT,
    "dense_h_to_4h": _UP,
    "gate_up_proj": _UP,
    "gate_proj": ("gate",),
    "up_proj": ("up",),
    "w1": ("gate",),
    "w3": ("up",),
    "fc1": _UP,
    "c_fc": _UP,
    "dense_4h_to_h": _DOWN,
    "down_proj": _DOWN,
    "w2": _DOWN,
    "fc2": _DOWN,
    "mlp.c_proj": _DOWN,
}
"""What a layer of that name is for, in the families that use the name."""


def resolve_names(
    names: Sequence[str], typed: Sequence[str], besides: Sequence[str] = ()
) -> tuple[list[str], list[str]]:
    """The ends of names that are meant, and what should be said about them.

    Args:
        names: whole names of the model's linear layers.
        typed: `lora_target`.
        besides: of layers that `all` does not mean but that may be named: embeddings, the output head.

    Raises:
        ModelError: a name fits no linear layer; the error lists those that there are.
    """
    if "all" in typed:
        return _distinct_ends(names), []
    chosen: list[str] = []
    told: list[str] = []
    for name in typed:
        here = [name] if any(ends_with(full, name) for full in (*names, *besides)) else _same_purpose(name, names)
        if not here:
            raise _unknown(name, names)
        if here != [name]:
            told.append(_("lora_target {name} means {here} in this model").format(name=name, here=", ".join(here)))
        chosen += [one for one in here if one not in chosen]
    return chosen, told


def ends_with(name: str, end: str) -> bool:
    """Whether a dotted name ends in whole parts with another."""
    return name == end or name.endswith(f".{end}")


def _same_purpose(name: str, names: Iterable[str]) -> list[str]:
    """This model's layers that do what a layer of that name does elsewhere."""
    wanted = _purposes(name)
    return [end for end in _distinct_ends(names) if wanted & _purposes(end, names)]


def _purposes(end: str, names: Iterable[str] = ()) -> set[str]:
    found = _PURPOSES.get(end, ())
    if not found:  # GPT-2 calls two layers c_proj
        longer = {full.rpartition(".")[0].rpartition(".")[2] + "." + end for full in names if ends_with(full, end)}
        found = tuple(purpose for name in longer for purpose in _PURPOSES.get(name, ())) if len(longer) == 1 else ()
    return set(found)


def _distinct_ends(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(name.rpartition(".")[2] for name in names))


def _unknown(name: str, names: Sequence[str]) -> ModelError:
    ends = _distinct_ends(names)
    near = did_you_mean(name, ends)
    known = _("all, or some of: {names}").format(names=", ".join(ends))
    return ModelError(
        _("lora_target: the model has no linear layer {name!r}").format(name=name), f"{near} {known}" if near else known
    )
