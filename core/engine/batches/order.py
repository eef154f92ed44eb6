"""Which rows make an update, and in which order: the same for the same seed, on any number of processes.

An epoch is a permutation of its units (rows, or packs of rows), drawn from the seed and the epoch's number alone; an
update is the next `rows_per_update` of them, the last one of an epoch takes what is left. Any update can be asked for
without those before it, which is all that resuming needs. How an update is divided among processes and micro-batches
changes nothing of what is learnt, for its loss is a sum over rows: rows of similar length go together.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.config.data import DataOptions
from core.config.finetuning import FinetuningOptions
from core.config.load import Settings
from core.config.optimization import OptimizationOptions
from core.config.ppo import PPOOptions
from core.engine.batches.packs import Packs, no_packs, pack
from core.errors import UsageError
from core.i18n import _

_GROUP_UPDATES = 50
"""Over how many updates rows are sorted by length, where they are grouped: as transformers has it."""


@dataclass(frozen=True, eq=False)
class Updates:
    """The updates of a training, numbered from 0."""

    lengths: NDArray[np.int32]
    """Of the rows, in tokens."""
    per_device_batch: int
    accumulation: int = 1
    world: int = 1
    rank: int = 0
    seed: int = 42
    shuffle: bool = True
    pack_to: int = 0
    """Rows are joined up to this many tokens; 0: not at all."""
    grouped: bool = False
    """Rows of similar length share updates, for models that have to pad."""
    micro_batch: int = 0
    """Units computed at once; 0: `per_device_batch`."""

    @property
    def rows_per_update(self) -> int:
        """The units of an update, all processes together."""
        return self.per_device_batch * self.accumulation * self.world

    @functools.cached_property
    def packs(self) -> Packs:
        """The units: packs of rows, or rows alone."""
        return pack(self.lengths, self.pack_to, self.seed) if self.pack_to else no_packs(self.lengths)

    @property
    def per_epoch(self) -> int:
        """Updates of an epoch."""
        return -(-len(self.packs) // self.rows_per_update)

    @property
    def micro_batches_per_epoch(self) -> int:
        """Batches that each device takes in an epoch, as other trainers count them."""
        return -(-len(self.packs) // (self.per_device_batch * self.world))

    def total(self, epochs: float, max_steps: int | None = None) -> int:
        """Updates of the training."""
        return max_steps if max_steps and max_steps > 0 else max(1, math.ceil(epochs * self.per_epoch))

    def epoch_after(self, updates: int) -> float:
        """How many epochs some updates are."""
        return updates / self.per_epoch

    def with_micro_batch(self, units: int) -> Updates:
        """The same updates, computed in smaller pieces."""
        smaller = dataclasses.replace(self, micro_batch=units)
        smaller.__dict__.update({name: self.__dict__[name] for name in ("packs", "_order") if name in self.__dict__})
        return smaller

    def rows_of_update(self, update: int) -> NDArray[np.int64]:
        """The numbers of an update's rows, all processes together; no order is meant."""
        return self.packs.rows_of(self._units(update))

    def update(self, update: int) -> list[list[int]]:
        """This process's micro-batches of an update, as numbers of rows; the longest come first.

        Another process may have one micro-batch more, and in the last update of an epoch a process may have none.
        """
        units = self._units(update)
        longest_first = units[np.argsort(-self.packs.lengths[units], kind="stable")]
        mine = _dealt(longest_first, self.world, self.rank)
        step = self.micro_batch or self.per_device_batch
        return [self.packs.rows_of(mine[start : start + step]).tolist() for start in range(0, len(mine), step)]

    def longest_batch(self) -> list[int]:
        """The rows of the largest micro-batch that can come."""
        units = np.argsort(-self.packs.lengths, kind="stable")[: self.micro_batch or self.per_device_batch]
        rows: list[int] = self.packs.rows_of(units).tolist()
        return rows

    def _units(self, update: int) -> NDArray[np.int64]:
        epoch, number = divmod(update, self.per_epoch)
        start = number * self.rows_per_update
        return self._epoch(epoch)[start : start + self.rows_per_update].astype(np.int64)

    def _epoch(self, epoch: int) -> NDArray[np.int32]:
        """The units in the order of an epoch; the last one asked for is kept."""
        if epoch not in self._order:
            self._order.clear()
            self._order[epoch] = self._drawn(epoch)
        return self._order[epoch]

    @functools.cached_property
    def _order(self) -> dict[int, NDArray[np.int32]]:
        return {}

    def _drawn(self, epoch: int) -> NDArray[np.int32]:
        units = np.arange(len(self.packs), dtype=np.int32)
        if self.shuffle:
            np.random.default_rng([self.seed, epoch]).shuffle(units)
        return self._grouped(units, epoch) if self.grouped else units

    def _grouped(self, units: NDArray[np.int32], epoch: int) -> NDArray[np.int32]:
        """Windows of many updates sorted by length; then whole updates change places, the incomplete one stays last."""
        size = self.rows_per_update
        window = np.arange(len(units)) // (size * _GROUP_UPDATES)
        units = units[np.lexsort((-self.packs.lengths[units], window))]
        whole = len(units) // size
        updates = np.arange(whole)
        if self.shuffle:
            np.random.default_rng([self.seed, epoch, 1]).shuffle(updates)
        return np.concatenate([units[: whole * size].reshape(whole, size)[updates].ravel(), units[whole * size :]])


def updates_of(settings: Settings, lengths: NDArray[np.int32], *, world: int = 1, rank: int = 0) -> Updates:
    """The updates that options mean.

    Raises:
        UsageError: packing is wanted with what makes rows of a pack see one another.
    """
    options, rows, method = settings[OptimizationOptions], settings[DataOptions], settings[FinetuningOptions]
    pads = method.finetuning_type == "p_tuning"
    if rows.packing and (pads or method.neftune_noise_alpha):
        what = _("packing and {what} do not go together: rows would see one another")
        raise UsageError(
            what.format(what="p_tuning" if pads else "neftune_noise_alpha"),
            _("leave packing out: rows of similar length are grouped"),
        )
    drawn = settings[PPOOptions].ppo_buffer_size if method.stage == "ppo" else 1  # batches, before any is learnt from
    return Updates(
        lengths,
        options.per_device_train_batch_size,
        options.gradient_accumulation_steps * drawn,
        world,
        rank,
        data_seed(settings),
        options.shuffle,
        pack_to=rows.cutoff_len if rows.packing else 0,
        grouped=pads,
    )


def data_seed(settings: Settings) -> int:
    """The seed of the rows' order."""
    options = settings[OptimizationOptions]
    return options.seed if options.data_seed is None else options.data_seed


def _dealt(units: NDArray[np.int64], world: int, rank: int) -> NDArray[np.int64]:
    """This process's share of units sorted by length: dealt forth and back, so that no process gets all long ones."""
    places = np.arange(len(units))
    rounds, turn = places // world, places % world
    mine: NDArray[np.int64] = units[np.where(rounds % 2, world - 1 - turn, turn) == rank]
    return mine


def split_rows(count: int, val_size: float, seed: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Numbers of rows for training and for evaluation, each in their order; `val_size` as the option of that name."""
    kept_out = min(count, int(val_size) if val_size >= 1 else math.ceil(count * val_size))
    order = np.random.default_rng([seed, 0xE7A1]).permutation(count).astype(np.int32)
    return np.sort(order[kept_out:]), np.sort(order[:kept_out])
