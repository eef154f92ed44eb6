"""Which rows make an update: every row once an epoch, the same for the same seed, however the work is divided."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray

from core.engine.batches.order import Updates, split_rows
from core.engine.batches.packs import pack


def lengths(count: int, seed: int = 0) -> NDArray[np.int32]:
    return np.random.default_rng(seed).integers(5, 60, count).astype(np.int32)


def rows_of(updates: Updates, numbers: range) -> list[int]:
    return [row for number in numbers for row in updates.rows_of_update(number).tolist()]


@pytest.mark.parametrize("options", [{}, {"shuffle": False}, {"pack_to": 128}, {"grouped": True}])
def test_an_epoch_has_every_row_once(options: dict[str, int]) -> None:
    updates = Updates(lengths(103), per_device_batch=4, accumulation=2, **options)
    for epoch in range(2):
        numbers = range(epoch * updates.per_epoch, (epoch + 1) * updates.per_epoch)
        assert sorted(rows_of(updates, numbers)) == list(range(103))


def test_without_shuffling_rows_come_in_their_order() -> None:
    updates = Updates(lengths(20), per_device_batch=4, shuffle=False)
    assert rows_of(updates, range(5)) == list(range(20))
    assert rows_of(updates, range(5, 10)) == list(range(20))


def test_epochs_differ_and_a_seed_brings_the_same_again() -> None:
    first, again = (Updates(lengths(50), per_device_batch=5, seed=7) for _ in range(2))
    other = Updates(lengths(50), per_device_batch=5, seed=8)
    epochs = [rows_of(first, range(10)), rows_of(first, range(10, 20))]
    assert epochs[0] != epochs[1]
    assert rows_of(again, range(10, 20)) == epochs[1], "an update is had without those before it"
    assert rows_of(again, range(10)) == epochs[0]
    assert rows_of(other, range(10)) != epochs[0]


def test_the_last_update_of_an_epoch_takes_what_is_left() -> None:
    updates = Updates(lengths(21), per_device_batch=4, accumulation=2)
    assert updates.per_epoch == 3
    assert [len(updates.rows_of_update(number)) for number in range(4)] == [8, 8, 5, 8]
    assert updates.micro_batches_per_epoch == 6
    assert updates.total(2.5) == 8
    assert updates.total(3, max_steps=5) == 5
    assert updates.total(3, max_steps=-1) == 9
    assert updates.epoch_after(3) == 1.0


@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("options", [{}, {"pack_to": 100}])
def test_processes_divide_the_same_update_among_them(world: int, options: dict[str, int]) -> None:
    whole = Updates(lengths(50), per_device_batch=6, **options)
    shares = [
        Updates(lengths(50), per_device_batch=6 // world, world=world, rank=rank, **options) for rank in range(world)
    ]
    for number in range(whole.per_epoch):
        together = [row for share in shares for batch in share.update(number) for row in batch]
        assert sorted(together) == sorted(whole.rows_of_update(number).tolist())


def test_processes_get_about_as_many_tokens_each() -> None:
    sizes = lengths(400)
    tokens = [
        sum(int(sizes[row]) for batch in Updates(sizes, 50, world=4, rank=rank).update(0) for row in batch)
        for rank in range(4)
    ]
    assert max(tokens) < 1.02 * min(tokens)


def test_a_process_may_have_nothing_to_do_in_a_last_update() -> None:
    counts = [len(Updates(lengths(9), per_device_batch=4, world=2, rank=rank).update(1)) for rank in range(2)]
    assert counts == [1, 0]


def test_micro_batches_hold_rows_of_like_length_and_change_no_update() -> None:
    sizes = lengths(64)
    updates = Updates(sizes, per_device_batch=8, accumulation=4)
    batches = updates.update(1)
    assert [len(batch) for batch in batches] == [8, 8, 8, 8]
    in_order = [int(sizes[row]) for batch in batches for row in batch]
    assert in_order == sorted(in_order, reverse=True)
    smaller = updates.with_micro_batch(3)
    assert {len(batch) for batch in smaller.update(1)} == {3, 2}
    assert Counter(row for batch in smaller.update(1) for row in batch) == Counter(updates.rows_of_update(1).tolist())
    assert smaller.per_epoch == updates.per_epoch


def test_packs_are_full_and_count_as_one_row() -> None:
    sizes = lengths(3000)
    packs = pack(sizes, 256, seed=1)
    assert packs.lengths.max() <= 256
    assert packs.lengths.mean() > 0.97 * 256
    assert packs.lengths.sum() == sizes.sum()
    updates = Updates(sizes, per_device_batch=4, pack_to=256, seed=1)
    assert updates.per_epoch == -(-len(packs) // 4)
    assert all(sizes[batch].sum() <= 4 * 256 for batch in updates.update(0))
    assert len(updates.rows_of_update(0)) > 16


def test_a_row_longer_than_a_pack_is_one_by_itself() -> None:
    packs = pack(np.array([5, 300, 5], dtype=np.int32), 256, seed=0)
    assert sorted(packs.lengths.tolist()) == [10, 300]


def test_grouped_updates_hold_rows_of_like_length_and_still_come_in_any_order() -> None:
    sizes = lengths(400)
    updates = Updates(sizes, per_device_batch=8, grouped=True)
    spreads = [int(np.ptp(sizes[updates.rows_of_update(number)])) for number in range(updates.per_epoch)]
    assert max(spreads) <= 3
    means = [float(sizes[updates.rows_of_update(number)].mean()) for number in range(updates.per_epoch)]
    assert means != sorted(means, reverse=True)


def test_a_million_rows_cost_a_few_megabytes_and_any_update_is_at_hand() -> None:
    updates = Updates(np.full(1_000_000, 100, dtype=np.int32), per_device_batch=8)
    rows = updates.rows_of_update(2_000_000 // 8 + 77)
    assert len(set(rows.tolist())) == 8
    held = [updates.packs.rows.nbytes, *(units.nbytes for units in updates._order.values())]
    assert sum(held) == 8_000_000


@pytest.mark.parametrize(("val_size", "kept_out"), [(0.01, 1), (0.25, 3), (1, 1), (4, 4), (99, 10)])
def test_rows_are_kept_out_by_share_or_by_number(val_size: float, kept_out: int) -> None:
    train, evaluation = split_rows(10, val_size, seed=3)
    assert len(evaluation) == kept_out
    assert sorted([*train.tolist(), *evaluation.tolist()]) == list(range(10))
    assert train.tolist() == sorted(train.tolist())
    again = split_rows(10, val_size, seed=3)[1]
    assert again.tolist() == evaluation.tolist()


def test_another_seed_keeps_other_rows_out() -> None:
    assert split_rows(100, 10, seed=1)[1].tolist() != split_rows(100, 10, seed=2)[1].tolist()
