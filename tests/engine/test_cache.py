"""Rows that grow and are kept."""

from __future__ import annotations

import torch

from core.engine.cache import Geometry, KeyValueRow, RowStore, common_prefix

GEOMETRY = Geometry(layers=2, kv_heads=1, head_dim=4, dtype=torch.float32, device=torch.device("cpu"))
ROW_BYTES = 2 * 2 * 256 * 4 * 4


def row(tokens: int = 3) -> KeyValueRow:
    made = KeyValueRow(GEOMETRY)
    made.reserve(tokens)
    made.tokens.extend(range(tokens))
    return made


def test_growing_keeps_what_was_read_and_doubles() -> None:
    grown = row(250)
    grown.storage[:] = torch.arange(256)[:, None].float()
    grown.reserve(257)
    assert grown.storage.shape[2] == 512
    assert grown.keys[1][0, 249].tolist() == [249.0] * 4
    assert grown.values[0].untyped_storage().data_ptr() == grown.storage.untyped_storage().data_ptr()


def test_common_prefix() -> None:
    assert common_prefix([1, 2, 3], (1, 2, 4)) == 2
    assert common_prefix([1, 2], [1, 2, 3]) == 2
    assert common_prefix([], [1]) == 0


def test_a_row_is_one_conversations_under_one_adapter() -> None:
    store = RowStore(10 * ROW_BYTES)
    kept = row()
    store.put("talk", "a", kept)
    assert store.take("talk", None) is None
    assert store.take("talk", "a") is kept
    assert store.take("talk", "a") is None  # who took it has it alone
    store.put("", None, row())
    assert len(store) == 0


def test_the_least_recently_used_rows_leave_when_memory_is_short() -> None:
    store = RowStore(2 * ROW_BYTES)
    for name in ("one", "two"):
        store.put(name, None, row())
    kept = store.take("one", None)
    assert kept is not None
    store.put("one", None, kept)
    store.put("three", None, row())
    assert store.take("two", None) is None
    assert store.take("one", None) is kept


def test_an_adapter_that_goes_takes_its_rows_with_it() -> None:
    store = RowStore(10 * ROW_BYTES)
    store.put("talk", "a", row())
    store.put("talk", None, row())
    store.forget_adapter("a")
    assert store.take("talk", "a") is None
    assert store.take("talk", None) is not None
