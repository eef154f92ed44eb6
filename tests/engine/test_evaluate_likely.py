"""Multiple choice by the next token's probability, and the losses of reference answers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from evaluation_runs import Evaluated, evaluate_here

from core.engine.evaluating.conduct import Conduct
from core.metrics.metric import Value
from core.workspace import Workspace
from tiny_models import reference_model, train_adapter
from training_runs import make_workspace, train_here

MMLU = (
    '"What is 2, and 2?",3,4,5,6,B\n'
    '"A ""quoted"" one, with commas",one,two,three,four,A\n'
    "Which is a fruit?,stone,iron,apple,sand,C\n"
)
SHOTS = "First?,a,b,c,d,D\nSecond?,e,f,g,h,A\nThird?,i,j,k,l,B\n"
CEVAL = "id,question,A,B,C,D,answer,explanation\n0,一加一等于几？,1,2,3,4,B,因为\n1,水是什么颜色？,红,蓝,无色,黑,C,\n"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    made = make_workspace(tmp_path_factory.mktemp("workspace"))
    for name, text in (("abstract_algebra_test", MMLU), ("abstract_algebra_dev", SHOTS), ("logic_val", CEVAL)):
        (made.data / f"{name}.csv").write_text(text, encoding="utf-8")
    train_adapter(made.models / "tiny", made.runs / "peft")
    return made


def letter_shares(folder: Path, prompt: str, letters: str = "ABCD") -> dict[str, float]:
    """By transformers' own forward."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(prompt, add_special_tokens=False, return_tensors="pt").input_ids
    with torch.inference_mode():
        logits = reference_model(folder)(ids).logits[0, -1]
    chosen = logits[[tokenizer.convert_tokens_to_ids(letter) for letter in letters]]
    return dict(zip(letters, chosen.softmax(-1).tolist(), strict=True))


def test_a_letter_is_told_by_what_the_model_finds_likely_next(workspace: Workspace) -> None:
    found = evaluate_here(
        workspace, "mmlu", dataset=("abstract_algebra_test.csv",), n_shot=2, shot_dataset="abstract_algebra_dev.csv"
    )
    rows, report = found.rows(), found.report()
    assert [row.label for row in rows] == ["B", "A", "C"]
    assert [row.id for row in rows] == [f"abstract_algebra_test.csv:{line}" for line in (1, 2, 3)]
    assert rows[1].prompt == (
        "<|im_start|>user\nThe following are multiple choice questions (with answers) about abstract algebra.\n\n"
        "First?\nA. a\nB. b\nC. c\nD. d\nAnswer:<|im_end|>\n<|im_start|>assistant\nD<|im_end|>\n"
        "<|im_start|>user\nSecond?\nA. e\nB. f\nC. g\nD. h\nAnswer:<|im_end|>\n<|im_start|>assistant\nA<|im_end|>\n"
        '<|im_start|>user\nA "quoted" one, with commas\nA. one\nB. two\nC. three\nD. four\nAnswer:<|im_end|>\n'
        "<|im_start|>assistant\n"
    )
    for row in rows:
        assert row.choice == pytest.approx(letter_shares(workspace.models / "tiny", row.prompt), abs=1e-5)
        assert row.predict == max(row.choice or {}, key=lambda letter: (row.choice or {})[letter])
    right = sum(row.predict == row.label for row in rows)
    assert report.values["choice_accuracy"].value == pytest.approx(100 * right / 3)
    assert "2 solved questions stand before each, of abstract_algebra_dev.csv" in report.notes


def test_chinese_questions_are_asked_in_chinese_and_each_model_has_its_own_opinion(workspace: Workspace) -> None:
    both = evaluate_here(
        workspace, "ceval", dataset=("logic_val.csv",), adapter_name_or_path=("peft",), include_base=True
    )
    base, tuned = both.rows(0), both.rows(1)
    assert [row.id for row in base] == ["0", "1"]
    assert "以下是中国关于logic考试的单项选择题，请选出其中的正确答案。\n\n一加一等于几？\nA. 1\n" in base[0].prompt
    assert base[0].prompt.endswith("\n答案：<|im_end|>\n<|im_start|>assistant\n")
    assert base[0].choice != tuned[0].choice


def test_rows_without_a_right_answer_are_told(workspace: Workspace) -> None:
    header, first, _second = CEVAL.splitlines()
    (workspace.data / "logic_test.csv").write_text(f"{header}\n{first}\n5,空的？,1,2,3,4,,\n", encoding="utf-8")
    failed = evaluate_here(workspace, "ceval-test", dataset=("logic_test.csv",)).failed()
    assert "logic_test.csv:3" in failed.error
    assert "the answer '' is none of A, B, C, D" in failed.error
    skipped = evaluate_here(workspace, "ceval-skipped", dataset=("logic_test.csv",), on_bad_rows="skip")
    assert [row.id for row in skipped.rows()] == ["0"]
    assert skipped.report().data.left_out == 1


# --- losses ------------------------------------------------------------------------------------------------------


def losses(found: Evaluated, part: int = 0) -> list[float | None]:
    return [row.loss for row in found.rows(part)]


def test_the_losses_of_references_are_those_of_a_training(workspace: Workspace) -> None:
    trained = train_here(
        workspace, "kept-out", max_steps=1, learning_rate=1e-9, eval_dataset=("colours",), eval_steps=1
    )
    found = evaluate_here(workspace, "losses", reference_loss=True)
    values = found.report().values
    rows = found.rows()
    assert all(row.loss is not None and row.label_tokens > 4 for row in rows)
    total = sum((row.loss or 0.0) * row.label_tokens for row in rows)
    tokens = sum(row.label_tokens for row in rows)
    assert total / tokens == pytest.approx(trained.evaluations[-1].metrics["loss"], rel=1e-4)
    assert isinstance(values["loss"], Value)
    assert values["perplexity"].value > 1


def test_losses_are_computed_later_where_a_stop_came_before(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = evaluate_here(workspace, "losses-whole", reference_loss=True, max_samples=6)
    with monkeypatch.context() as patch:
        patch.setattr(Conduct, "_score", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
        evaluate_here(workspace, "losses-late", reference_loss=True, max_samples=6)
    journal = workspace.runs / "losses-late" / "answers.jsonl"
    lines = journal.read_text().splitlines()
    assert len(lines) == 12  # every answer, and every answer with its loss
    journal.write_text("".join(f"{line}\n" for line in lines[:9]))
    late = evaluate_here(workspace, "losses-late", resume=True)
    assert losses(late) == pytest.approx(losses(whole))
    assert late.finished().reason == "completed"
