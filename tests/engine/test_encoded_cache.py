"""Rows of tokens in memory and in files: the same rows, found again only for what they were made of."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from pathlib import Path

import numpy as np
import pytest

from core.config.data import DataOptions
from core.engine.batches import cache
from core.engine.batches.cache import token_set
from core.engine.batches.encoded_set import IDS, EncodedSet
from core.engine.batches.recipe import Recipe
from core.engine.batches.verdict import refuse_mistakes
from core.errors import DataError
from tiny_models import CHATML, save_tokenizer


def write_rows(path: Path, count: int, *, broken: tuple[int, ...] = ()) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        "{broken" if n in broken else json.dumps({"instruction": f"问 {n}" + "?" * (n % 7), "output": f"{n}"})
        for n in range(count)
    ]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    save_tokenizer(tmp_path / "model", CHATML)
    write_rows(tmp_path / "data" / "rows.jsonl", 40)
    return Recipe(tmp_path, ("rows.jsonl",), DataOptions(cutoff_len=64), tmp_path / "model")


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small sets are worth keeping too."""
    monkeypatch.setattr(cache, "WORTH_KEEPING", 1)


def fresh(recipe: Recipe, **options: object) -> Recipe:
    """The recipe as another process would have it."""
    return dataclasses.replace(recipe, data=recipe.data.model_copy(update=options))


def same(one: EncodedSet, other: EncodedSet) -> bool:
    return (
        len(one) == len(other)
        and all(
            np.array_equal(a.ids, b.ids) and np.array_equal(a.trained, b.trained)
            for a, b in zip(one, other, strict=True)
        )
        and np.array_equal(one.examples, other.examples)
        and np.array_equal(one.targets, other.targets)
        and one.report == other.report
    )


def folders(recipe: Recipe) -> list[str]:
    return sorted(path.name for path in (recipe.workspace / ".finetui" / "cache" / "tokens").glob("*"))


def test_rows_come_back_as_they_were_encoded(recipe: Recipe) -> None:
    rows = token_set(recipe)
    template = recipe.chosen_template
    assert len(rows) == 40
    row = rows.row(7)
    assert template.tokenizer.backend.decode(row.ids.tolist(), skip_special_tokens=False) == (
        "<|im_start|>user\n问 7<|im_end|>\n<|im_start|>assistant\n7<|im_end|>\n"
    )
    assert template.tokenizer.decode(row.ids[row.trained].tolist()) == "7"
    assert rows.lengths[7] == len(row.ids)
    assert rows.targets.tolist() == [row.targets for row in rows]
    assert rows.report.tokens == rows.lengths.sum()
    assert rows.batch([3, 4]).tokens == rows.lengths[[3, 4]].sum()


def test_few_rows_leave_nothing_on_the_disk(recipe: Recipe) -> None:
    token_set(recipe)
    assert not (recipe.workspace / ".finetui").exists()


def test_kept_rows_are_found_again_and_equal(recipe: Recipe, kept: None, monkeypatch: pytest.MonkeyPatch) -> None:
    in_memory = cache._in_memory(recipe, lambda fraction: None)
    first = token_set(recipe)
    assert same(first, in_memory)
    assert folders(recipe) == [recipe.key]
    monkeypatch.setattr(cache, "tokenise", None)  # calling it would fail
    assert same(token_set(fresh(recipe)), in_memory)


def test_several_processes_make_the_same_rows(recipe: Recipe) -> None:
    in_memory = cache._in_memory(recipe, lambda fraction: None)
    told: list[float] = []
    assert same(token_set(fresh(recipe, preprocessing_num_workers=2), told.append), in_memory)
    assert told[-1] == 1.0
    assert folders(recipe) == [recipe.key]


def test_other_files_templates_tokenizers_and_options_are_other_rows(recipe: Recipe) -> None:
    keys = [recipe.key]
    keys.append(fresh(recipe, cutoff_len=32).key)
    keys.append(fresh(recipe, source_prefix="x").key)
    keys.append(dataclasses.replace(recipe, template="llama3").key)
    write_rows(recipe.workspace / "data" / "rows.jsonl", 41)
    keys.append(fresh(recipe).key)
    (recipe.workspace / "data" / "dataset_info.json").write_text(
        json.dumps({"rows": {"file_name": "rows.jsonl", "columns": {"prompt": "output", "response": "instruction"}}})
    )
    keys.append(dataclasses.replace(recipe, names=("rows",)).key)
    save_tokenizer(recipe.model, CHATML.replace("<|im_end|>", "<|endoftext|>"))
    keys.append(fresh(recipe).key)
    assert len(set(keys)) == len(keys)


def test_options_that_no_row_feels_do_not_matter(recipe: Recipe) -> None:
    same_rows = fresh(recipe, val_size=0.1, packing=True, overwrite_cache=True, preprocessing_num_workers=3)
    assert same_rows.key == recipe.key


def test_a_damaged_or_unfinished_cache_is_made_anew(recipe: Recipe, kept: None) -> None:
    first = cache._in_memory(recipe, lambda fraction: None)
    token_set(recipe)
    folder = recipe.workspace / ".finetui" / "cache" / "tokens" / recipe.key
    whole = (folder / IDS).read_bytes()
    (folder / IDS).write_bytes(whole[:-4])
    assert same(token_set(fresh(recipe)), first)
    (folder / "rows.npz").unlink()
    assert same(token_set(fresh(recipe)), first)
    assert folders(recipe) == [recipe.key]


def test_overwrite_cache_tokenises_again(recipe: Recipe, kept: None) -> None:
    token_set(recipe)
    folder = recipe.workspace / ".finetui" / "cache" / "tokens" / recipe.key
    (folder / "old").touch()
    token_set(fresh(recipe, overwrite_cache=True))
    assert not (folder / "old").exists()


def test_an_end_on_the_way_leaves_nothing_behind(recipe: Recipe, kept: None) -> None:
    def stop(_fraction: float) -> None:
        raise KeyboardInterrupt

    for processes in (0, 2):
        with pytest.raises(KeyboardInterrupt):
            token_set(fresh(recipe, preprocessing_num_workers=processes), stop)
        assert folders(recipe) == []


def test_what_killed_processes_left_unfinished_goes_away_and_what_is_being_made_stays(
    recipe: Recipe, kept: None
) -> None:
    tokens = recipe.workspace / ".finetui" / "cache" / "tokens"
    for name in ("dead", "alive", "young"):
        (tokens / f".unfinished-{name}").mkdir(parents=True)
    (tokens / "forgotten").mkdir()
    for name, age in ((".unfinished-dead", 60), (".unfinished-alive", 60), ("forgotten", 31 * 86400)):
        os.utime(tokens / name, (time.time() - age,) * 2)
    with cache._held(tokens / ".unfinished-alive"):
        token_set(recipe)
    assert folders(recipe) == [".unfinished-alive", ".unfinished-young", recipe.key]


def test_rows_that_cannot_be_read_are_told_together_and_left_out_by_choice(recipe: Recipe) -> None:
    write_rows(recipe.workspace / "data" / "rows.jsonl", 40, broken=(3, 39))
    for processes in (0, 2):
        rows = token_set(fresh(recipe, preprocessing_num_workers=processes))
        with pytest.raises(DataError, match="2 rows cannot be trained on") as caught:
            refuse_mistakes(rows.report, DataOptions())
        told = [line.rpartition("/")[2] for line in caught.value.message.splitlines()[1:]]
        assert told[0].startswith("rows.jsonl:4: broken JSON: ")
        assert told[1].startswith("rows.jsonl:40: broken JSON: ")
        refuse_mistakes(rows.report, DataOptions(on_bad_rows="skip"))
        assert len(rows) == 38
        assert rows.report.left_out_reasons == {"unreadable": 2}
        assert [row.place.rpartition("/")[2] for row in rows.report.first_left_out] == ["rows.jsonl:4", "rows.jsonl:40"]
        assert rows.examples.tolist() == [n for n in range(40) if n not in (3, 39)]


def test_rows_that_are_left_out_do_not_count_against_max_samples(recipe: Recipe, kept: None) -> None:
    write_rows(recipe.workspace / "data" / "rows.jsonl", 40, broken=(0, 2, 30))
    stopping, skipping = (fresh(recipe, max_samples=4, on_bad_rows=what) for what in ("stop", "skip"))
    assert token_set(stopping).report.left_out_reasons == {"unreadable": 2}
    assert len(token_set(stopping)) == 2
    for processes in (0, 2):
        made = token_set(fresh(skipping, preprocessing_num_workers=processes, overwrite_cache=True))
        assert [made.row(n).ids.tolist() for n in range(4)] == [
            row.ids.tolist() for row in token_set(fresh(recipe, on_bad_rows="skip"))
        ][:4]
        assert (len(made), made.report.left_out) == (4, 2)  # the bad row behind them is nobody's concern
        assert [row.place.rpartition("/")[2] for row in made.report.first_left_out] == ["rows.jsonl:1", "rows.jsonl:3"]
    assert same(made, token_set(fresh(skipping)))  # from the cache, which tells of them too
    assert fresh(skipping).key != fresh(stopping).key


def test_long_rows_that_may_go_do_not_hide_one_that_stops_the_run(recipe: Recipe) -> None:
    write_rows(recipe.workspace / "data" / "rows.jsonl", 130, broken=(120,))
    options = DataOptions(cutoff_len=8, on_long_rows="drop")
    for processes in (0, 2):
        made = token_set(
            dataclasses.replace(recipe, data=options.model_copy(update={"preprocessing_num_workers": processes}))
        )
        assert made.report.left_out_reasons == {"too_long": 129, "unreadable": 1}
        with pytest.raises(DataError, match="1 row cannot be trained on"):
            refuse_mistakes(made.report, options)


def test_a_process_that_cannot_do_its_part_says_why(recipe: Recipe) -> None:
    several = fresh(recipe, preprocessing_num_workers=2)
    assert several.key == recipe.key, "the tokenizer was there when it began"
    (recipe.model / "tokenizer.json").unlink()
    with pytest.raises(DataError, match="holds no tokenizer") as caught:
        token_set(several)
    assert caught.value.hint == "a model folder needs tokenizer.json (or tokenizer.model)"
    assert folders(recipe) == []


def test_a_workspace_that_takes_no_files_gets_its_rows_in_memory(recipe: Recipe, kept: None) -> None:
    (recipe.workspace / ".finetui").write_text("in the way")
    assert len(token_set(recipe)) == 40


def test_pages_that_were_read_are_given_back(recipe: Recipe, kept: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.engine.batches.encoded_set._RESIDENT_BYTES", 3 << 16)
    rows = token_set(recipe)
    before = [row.ids.tolist() for row in rows]
    assert rows._touched <= 3 << 16
    assert [row.ids.tolist() for row in rows] == before
