"""Comparisons as two rows of tokens: one prompt, loss on the last answer alone, an end where the answer ends."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.chat.message import Message
from core.config.data import DataOptions
from core.config.load import Settings, load
from core.config.training import TRAINING
from core.data.example import Comparison, Example
from core.engine.batches import cache
from core.engine.batches.batch import Batch, EncodedRow
from core.engine.batches.cache import token_set
from core.engine.batches.cut import Cut
from core.engine.batches.encode import Encoded, LeftOut, encode
from core.engine.batches.encode_pair import EncodedPair, encode_pair
from core.engine.batches.pairs import PairRows, batch_of
from core.engine.batches.recipe import Recipe
from core.engine.batches.verdict import mistakes, notices, sentence
from core.engine.manner import Manner
from core.engine.scorers.trained import judged_ids
from core.engine.template import Template, prepared
from core.engine.training.data import open_data
from core.errors import DataError
from core.runs.plan import LeftOutRow, TokenReport
from core.workspace import Workspace
from training_runs import SMALL, make_workspace

ASKED = (Message("user", "Hi 你好"), Message("assistant", "Hello."), Message("user", "Bye"))


def encoded(
    template: Template, chosen: str, rejected: str, *, asked: tuple[Message, ...] = ASKED, **options: Any
) -> EncodedPair:
    result = encode_pair(template, Comparison(asked, chosen, rejected), DataOptions(**options))
    assert isinstance(result, EncodedPair), result
    return result


def text_of(template: Template, ids: Any) -> str:
    return str(template.tokenizer.backend.decode(list(ids), skip_special_tokens=False))


def trained_text(template: Template, row: EncodedRow) -> str:
    return text_of(template, row.ids[row.trained])


def source_of(row: EncodedRow) -> list[int]:
    tokens: list[int] = row.ids[: int(np.argmax(row.trained))].tolist()
    return tokens


def test_a_pair_is_the_prompt_of_a_chat_with_either_answer_up_to_its_end(chatml: Template, plain: Template) -> None:
    for template, end in ((chatml, "<|im_end|>"), (plain, "<|endoftext|>")):
        pair = encoded(template, "Ade!", "Go.", default_system="Be brief.", source_prefix="Q: ")
        asked = template.rendering(prepared(ASKED, "Be brief.", "Q: ")).ids
        for answer, row in zip(("Ade!", "Go."), pair.rows, strict=True):
            assert source_of(row) == list(asked)
            assert trained_text(template, row) == answer + end, "of this answer alone, the conversation's past is given"
            assert row.trained[-1], "the end token is the last one, and the reward is read there"


def test_the_tokens_are_those_that_a_reward_model_reads_and_that_supervised_training_has(
    chatml: Template, plain: Template
) -> None:
    for template in (chatml, plain):
        pair = encoded(template, "Ade!", "Go.", default_system="Be brief.", source_prefix="Q: ")
        manner = Manner(template, "Be brief.", "Q: ")
        for answer, row in zip(("Ade!", "Go."), pair.rows, strict=True):
            conversation = (*ASKED, Message("assistant", answer))
            assert tuple(row.ids) == tuple(judged_ids(manner, conversation))
            options = DataOptions(default_system="Be brief.", source_prefix="Q: ")
            supervised = encode(template, Example(conversation), options)
            assert isinstance(supervised, Encoded)
            assert supervised.row.ids[: len(row.ids)].tolist() == row.ids.tolist()


def test_loss_is_on_the_answers_whatever_supervised_options_say(chatml: Template) -> None:
    pair = encoded(chatml, "Ade!", "Go.", train_on_prompt=True, mask_history=False)
    assert [trained_text(chatml, row) for row in pair.rows] == ["Ade!<|im_end|>", "Go.<|im_end|>"]


# --- pairs that are too long --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("chosen", "rejected"), [("y" * 40, "No."), ("No.", "y" * 40)])
def test_both_answers_stand_behind_one_prompt_which_the_longer_one_decides(
    chatml: Template, chosen: str, rejected: str
) -> None:
    question = (Message("user", "begin " + "x" * 100 + " end"),)
    pair = encoded(chatml, chosen, rejected, asked=question, cutoff_len=120)
    assert source_of(pair.chosen.row) == source_of(pair.rejected.row)
    assert pair.chosen.messages[:-1] == pair.rejected.messages[:-1]
    assert pair.chosen.messages[0].content.startswith("begin xx")
    assert {trained_text(chatml, row) for row in pair.rows} == {"y" * 40 + "<|im_end|>", "No.<|im_end|>"}
    assert max(len(row.ids) for row in pair.rows) <= 120
    assert pair.cut is not None
    assert (pair.cut.turns, pair.cut.answer) == (0, 0)
    assert pair.cut.question > 0


def test_answers_that_are_both_too_long_are_cut_alike(chatml: Template) -> None:
    pair = encoded(chatml, "a" * 90, "b" * 80, max_target_length=20)
    assert [trained_text(chatml, row) for row in pair.rows] == ["a" * 18 + "<|im_end|>", "b" * 18 + "<|im_end|>"]
    assert pair.cut == Cut(answer=72 + 62)
    assert source_of(pair.chosen.row) == list(chatml.rendering(ASKED).ids)


def test_old_turns_and_source_limits_count_once(chatml: Template) -> None:
    asked = (Message("user", "o" * 40), Message("assistant", "p" * 40), Message("user", "New?"))
    pair = encoded(chatml, "Yes.", "No, never.", asked=asked, cutoff_len=100)
    assert [message.content for message in pair.rejected.messages] == ["New?", "No, never."]
    assert pair.chosen.messages[0] == pair.rejected.messages[0]
    whole = len(chatml.rendering(asked).ids) - len(chatml.rendering(asked[-1:]).ids)
    assert pair.cut == Cut(turns=whole)
    limited = encoded(chatml, "Yes.", "No.", asked=(Message("user", "q" * 99),), max_source_length=40)
    assert [len(source_of(row)) for row in limited.rows] == [40, 40]


def test_the_prefix_and_the_system_prompt_are_not_put_in_twice(chatml: Template) -> None:
    question = (Message("user", "x" * 100),)
    pair = encoded(chatml, "y" * 30, "n", asked=question, cutoff_len=100, default_system="S", source_prefix="Q: ")
    assert [message.role for message in pair.rejected.messages] == ["system", "user", "assistant"]
    assert pair.rejected.messages[1].content.startswith("Q: xx")
    assert pair.rejected.messages[:-1] == pair.chosen.messages[:-1]


def test_answers_that_are_the_same_after_the_cut_are_left_out(chatml: Template) -> None:
    comparison = Comparison(ASKED, "a" * 50 + "X" + "a" * 50, "a" * 50 + "Y" + "a" * 50)
    result = encode_pair(chatml, comparison, DataOptions(max_target_length=20))
    assert result == LeftOut("same_answers")
    assert sentence(LeftOutRow("here:1", "same_answers")) == (
        "the better and the worse answer are the same, cut as they are"
    )


@pytest.mark.parametrize("long_first", [True, False])
def test_what_one_answer_is_left_out_for_the_pair_is_left_out_for(chatml: Template, long_first: bool) -> None:
    answers = ("y" * 99, "n") if long_first else ("n", "y" * 99)
    comparison = Comparison(ASKED, *answers)
    assert encode_pair(chatml, comparison, DataOptions(cutoff_len=64, on_long_rows="drop")) == LeftOut("too_long")
    crowded = Comparison((Message("system", "s" * 90), *ASKED), *answers)
    assert encode_pair(chatml, crowded, DataOptions(cutoff_len=64)) == LeftOut("no_room")


# --- sets of pairs ------------------------------------------------------------------------------------------------


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """The set `judged`: 20 comparisons in seed 001's format, two of which end up with equal answers."""
    made = make_workspace(tmp_path / "ws")
    rows = [
        {"instruction": f"Which {n}?", "input": "", "output": ["good " * (n % 4) + "yes", f"no {n}"]} for n in range(18)
    ]
    rows += [{"instruction": "Same", "input": "", "output": ["z" * 300 + end, "z" * 300]} for end in ("z", "zz")]
    text = "\n".join(json.dumps(row) for row in rows)
    (made.root / "data" / "judged.jsonl").write_text(text)
    catalog = json.loads((made.root / "data" / "dataset_info.json").read_text())
    catalog["judged"] = {"file_name": "judged.jsonl", "ranking": True}
    (made.root / "data" / "dataset_info.json").write_text(json.dumps(catalog))
    return made


def settings_of(**options: Any) -> Settings:
    return load(TRAINING, values={**SMALL, "stage": "rm", "dataset": ("judged",), "cutoff_len": 64, **options})


def opened(workspace: Workspace, **options: Any) -> Any:
    settings = settings_of(on_bad_rows="skip", **options)
    return open_data(settings, workspace.models / "tiny", workspace)


@pytest.mark.parametrize("stage", ["rm", "dpo"])
def test_stages_that_compare_get_pairs(workspace: Workspace, stage: str) -> None:
    data = opened(workspace, stage=stage)
    assert isinstance(data.rows, PairRows)
    assert len(data.rows) == 18
    assert data.rows.targets.tolist() == [1] * 18
    pair = data.rows.pair(3)
    assert text_of(data.template, pair.chosen.ids).endswith("good good good yes<|im_end|>")
    assert text_of(data.template, pair.rejected.ids).endswith("no 3<|im_end|>")
    assert data.rows.row(3).ids.tolist() == pair.chosen.ids.tolist()
    assert data.rows.lengths[3] == len(pair.chosen.ids) + len(pair.rejected.ids)
    assert (data.report.kind, data.report.rows, data.report.left_out) == ("pairs", 18, 2)
    assert data.report.tokens == data.rows.lengths.sum()
    assert data.report.left_out_reasons == {"same_answers": 2}


def test_rows_that_cannot_be_compared_stop_a_run_unless_they_may_go(workspace: Workspace) -> None:
    with pytest.raises(DataError) as error:
        open_data(settings_of(), workspace.models / "tiny", workspace)
    head, first, second = error.value.message.splitlines()
    assert head == "2 pairs cannot be trained on:"
    assert first.endswith("judged.jsonl:19: the better and the worse answer are the same, cut as they are")
    assert "judged.jsonl:20: " in second


def test_pairs_are_kept_out_whole(workspace: Workspace) -> None:
    data = opened(workspace, val_size=5)
    (kept_out,) = data.evaluation_sets
    assert (len(data.rows), len(kept_out.rows)) == (13, 5)
    assert isinstance(kept_out.rows, PairRows)
    assert sorted([*data.rows.examples, *kept_out.rows.examples]) == list(range(18))
    for rows in (data.rows, kept_out.rows):
        for index, example in enumerate(rows.examples):
            assert text_of(data.template, rows.pair(index).rejected.ids).endswith(f"no {example}<|im_end|>")
    told = opened(workspace, eval_dataset=("judged",), max_samples=4).evaluation_sets
    assert [(one.name, len(one.rows)) for one in told] == [("judged", 4)]


def test_a_set_of_the_wrong_kind_is_refused(workspace: Workspace) -> None:
    with pytest.raises(DataError, match="holds one answer for each question, not two to compare"):
        open_data(settings_of(dataset=("colours",)), workspace.models / "tiny", workspace)


def test_several_processes_and_the_cache_make_the_same_pairs(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = DataOptions(cutoff_len=64, on_bad_rows="skip")
    recipe = Recipe(workspace.root, ("judged",), options, workspace.models / "tiny", kind="pairs")
    in_memory = token_set(recipe)
    monkeypatch.setattr(cache, "WORTH_KEEPING", 1)
    divided = dataclasses.replace(recipe, data=options.model_copy(update={"preprocessing_num_workers": 2}))
    for made in (token_set(divided), token_set(recipe)):  # the second finds what the first has kept
        assert np.array_equal(made.ids, in_memory.ids)
        assert np.array_equal(made.examples, in_memory.examples)
        assert made.report == in_memory.report
    assert len(list((workspace.state / "cache" / "tokens").iterdir())) == 1


def test_the_kind_of_rows_is_part_of_their_name(workspace: Workspace) -> None:
    model = workspace.models / "tiny"
    keys = {
        Recipe(workspace.root, ("colours",), DataOptions(), model, kind=kind).key for kind in ("answers", "prompts")
    }
    longer = Recipe(workspace.root, ("colours",), DataOptions(), model, kind="prompts", longest_prompt=9).key
    assert len({*keys, longer}) == 3


def test_a_batch_of_pairs_names_its_families(workspace: Workspace) -> None:
    rows = opened(workspace).rows
    batch = batch_of([rows.pair(0), rows.pair(1)])
    assert batch.families == ((0, 1), (2, 3))
    assert [one.ids.tolist() for one in batch.rows[2:]] == [
        one.tolist() for one in (rows.pair(1).chosen.ids, rows.pair(1).rejected.ids)
    ]
    assert Batch(batch.rows).kin == ((0, 1, 2, 3),)


def test_words_are_of_pairs() -> None:
    report = TokenReport(
        kind="pairs",
        rows=3,
        cut_rows=1,
        cut_answers=1,
        lost_answer_tokens=7,
        first_cut=("data/x.jsonl:2",),
        left_out=2,
        left_out_reasons={"same_answers": 2},
        first_left_out=(LeftOutRow("data/x.jsonl:1", "same_answers"),),
    )
    cut, left_out = notices(report)
    assert cut.what == "1 pair is too long and is cut: 33.3 % of them, data/x.jsonl:2"
    assert left_out.what == "2 pairs are left out"
    (problem,) = mistakes(report, DataOptions())
    assert problem.what == "the better and the worse answer are the same, cut as they are"
