"""Evaluations on tiny models: what is asked, what is kept, and what is told of it."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from evaluation_runs import Evaluated, add_set, die, evaluate_and_die, evaluate_here
from safetensors.torch import load_file, save_file

from core.engine.control import Control, Wanted
from core.engine.evaluating import conduct, progress, weights
from core.engine.evaluating.sheet import Sheet
from core.report import store
from core.report.prediction import Prediction
from core.runs.events import Answered, ModelReady, PartScored, StageChanged
from core.runs.rundir import RunDirectory
from core.runs.told import answered_line
from core.workspace import Workspace
from tiny_models import make_model, train_adapter
from training_runs import make_workspace

ROWS = 26


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    made = make_workspace(tmp_path_factory.mktemp("workspace"), rows=ROWS)
    train_adapter(made.models / "tiny", made.runs / "peft")
    long = {"instruction": "x" * 600, "output": "y", "id": "long"}
    add_set(made, "named", [{"instruction": f"Q{i}", "output": f" a{i}\n", "id": f"q-{i}"} for i in range(5)] + [long])
    return made


@pytest.fixture(scope="module")
def plain(workspace: Workspace) -> Evaluated:
    """The evaluation that nothing happens to."""
    return evaluate_here(workspace, "plain")


def texts(evaluated: Evaluated, part: int = 0) -> list[tuple[str, int, str]]:
    return [(row.id, row.repeat, row.predict) for row in evaluated.rows(part)]


# --- what is left ------------------------------------------------------------------------------------------------


def test_answers_stand_in_the_datas_order_with_everything_that_they_stand_on(plain: Evaluated) -> None:
    assert plain.exit_code == 0
    rows, report = plain.rows(), plain.report()
    assert [row.row for row in rows] == list(range(ROWS))
    assert rows[3].id == "colours.json:1:4"  # the file is one line long
    assert rows[3].label == "deep green "
    assert rows[0].prompt.endswith("<|im_start|>user\nWhat is number 0?<|im_end|>\n<|im_start|>assistant\n")
    assert {row.finish_reason for row in rows} <= {"stop", "length"}
    assert all(row.tokens <= 6 and row.prompt_tokens > 10 for row in rows)
    assert report.complete
    assert (report.answered, report.failed) == (ROWS, 0)
    assert (report.subject.name, report.subject.dtype, report.subject.device) == ("tiny", "float32", "cpu")
    assert report.config["max_new_tokens"] == 6
    assert report.data.rows == ROWS
    assert len(report.data.sha256) == 64
    assert report.truncated == sum(row.finish_reason == "length" for row in rows)
    assert next(iter(report.values)) == "exact_match"
    assert report.values["bleu-4"].n == ROWS
    assert report.data.seen_in_training is None


def test_the_files_of_llama_factory_have_its_keys(plain: Evaluated) -> None:
    own, every = (json.loads(path.read_text()) for path in plain.files().results)
    assert own == every
    assert {"predict_bleu-4", "predict_rouge-1", "predict_rouge-2", "predict_rouge-l"} <= own.keys()
    assert {"predict_runtime", "predict_samples_per_second", "predict_steps_per_second"} <= own.keys()
    assert "predict_model_preparation_time" in own
    assert list(json.loads(plain.files().predictions.read_text().splitlines()[0]))[:3] == ["prompt", "predict", "label"]
    assert not plain.files().journal.exists()


def test_it_tells_what_it_does_and_how_far_it_is(plain: Evaluated) -> None:
    stages = [event.stage for event in plain.all(StageChanged)]
    assert stages == ["data", "loading", "answering", "scoring"]
    last = plain.all(Answered)[-1]
    assert (last.part_done, last.part_total, last.done, last.total) == (ROWS, ROWS, ROWS, ROWS)
    assert last.metrics["exact_match"] == plain.numbers()["exact_match"]
    assert last.metrics["bleu-4"] == pytest.approx(plain.numbers()["bleu-4"])
    (scored,) = plain.all(PartScored)
    assert (scored.part, scored.folder, scored.rows) == ("tiny · colours", ".", ROWS)
    assert plain.finished().reason == "completed"
    assert plain.finished().metrics == plain.numbers()


def test_batches_do_not_change_greedy_answers(workspace: Workspace, plain: Evaluated) -> None:
    one = evaluate_here(workspace, "one-by-one", per_device_eval_batch_size=1)
    assert texts(one) == texts(plain)


def test_ids_and_labels_are_those_of_the_data_and_a_row_that_fails_is_one_row(workspace: Workspace) -> None:
    found = evaluate_here(workspace, "named", dataset=("named",))
    rows, report = found.rows(), found.report()
    assert [row.id for row in rows] == ["q-0", "q-1", "q-2", "q-3", "q-4", "long"]
    assert rows[2].label == " a2\n"
    assert "too long" in rows[5].error
    assert rows[5].predict == ""
    assert (report.answered, report.failed, report.complete) == (5, 1, True)
    assert report.values["exact_match"].n == 5
    told = [*report.notes, *(artefact.message for artefact in report.artefacts)]
    assert [text for text in told if "no answer" in text] == [
        f"1 of {report.data.rows} rows have no answer because of an error, and count nowhere"
    ]
    assert json.loads(found.files().scores.read_text())["exact_match"][5] is None


def test_questions_are_limited_and_lose_their_oldest_turns_when_they_must(workspace: Workspace) -> None:
    turn = [["one " * 10, "yes " * 10], ["two " * 10, "no " * 10]]
    add_set(
        workspace,
        "turns",
        [{"instruction": "And now?", "output": "x", "history": turn}, {"instruction": "Q", "output": "y"}],
    )
    info = workspace.data / "dataset_info.json"
    entries = json.loads(info.read_text())
    columns = {"prompt": "instruction", "response": "output", "history": "history"}
    info.write_text(json.dumps({**entries, "turns": {"file_name": "turns.jsonl", "columns": columns}}))
    whole = evaluate_here(workspace, "turns", dataset=("turns",))
    cut = evaluate_here(workspace, "turns-cut", dataset=("turns",), cutoff_len=180)
    assert [row.dropped_turns for row in whole.rows()] == [0, 0]
    assert [row.dropped_turns for row in cut.rows()] == [1, 0]
    assert cut.rows()[0].prompt_tokens <= 180 < whole.rows()[0].prompt_tokens
    assert "1 prompt was too long, and lost its oldest turns" in cut.report().notes
    few = evaluate_here(workspace, "turns-few", dataset=("turns",), max_samples=1, cutoff_len=20)
    assert "takes 27 of 20 tokens: take a larger cutoff_len, or none" in few.rows()[0].error


# --- several -----------------------------------------------------------------------------------------------------


def test_a_base_and_its_adapters_share_their_weights(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []
    load_base = weights.load_base
    monkeypatch.setattr(weights, "load_base", lambda *a: (loaded.append(Path(a[0].model).name), load_base(*a))[1])
    make_model(workspace.models / "other", "qwen3", seed=1)
    several = evaluate_here(
        workspace,
        "several",
        adapter_name_or_path=("peft", "other"),
        include_base=True,
        dataset=("colours", "named"),
        max_samples=5,
    )
    assert loaded == ["tiny", "other"]
    folders = [event.folder for event in several.all(PartScored)]
    assert folders == [f"parts/{who}--{what}" for who in ("tiny", "peft", "other") for what in ("colours", "named")]
    answers = [[row.predict for row in several.rows(part)] for part in (0, 2, 4)]
    assert answers[0] != answers[1] != answers[2]
    assert [several.report(part).subject.method for part in (0, 2)] == ["", "lora"]
    assert [event.model for event in several.all(ModelReady)] == ["tiny", "peft", "other"]
    assert several.all(Answered)[-1].done == 30
    assert several.finished().metrics["peft · named/exact_match"] == 0.0


def test_repeats_are_drawn_anew_and_come_again(workspace: Workspace) -> None:
    options: dict[str, Any] = {"temperature": 2.0, "top_p": 1.0, "repeats": 3, "max_samples": 4}
    first = evaluate_here(workspace, "drawn", **options)
    again = evaluate_here(workspace, "drawn-again", per_device_eval_batch_size=1, **options)
    other = evaluate_here(workspace, "drawn-other", **{**options, "seed": 7})
    assert texts(first) == texts(again) != texts(other)
    assert [(row.row, row.repeat) for row in first.rows()] == [(row, time) for row in range(4) for time in range(3)]
    assert len({row.predict for row in first.rows()}) > 6
    assert first.report().repeats == 3
    assert first.report().values["bleu-4"].spread is not None
    assert first.report().data.rows == 4


def test_the_report_names_the_number_format_that_was_used(workspace: Workspace) -> None:
    half = evaluate_here(workspace, "half", bf16=True, max_samples=3)
    assert half.report().subject.dtype == "bfloat16"
    plain = evaluate_here(workspace, "fp16", fp16=True, max_samples=3)
    assert plain.report().subject.dtype == "float32"
    assert "fp16 needs a GPU: the answers are computed in float32" in plain.warnings


# --- ends and new beginnings -------------------------------------------------------------------------------------


def dies_after(answers: int) -> None:
    """From here on a process kills itself when it has kept so many answers."""
    add, kept = Sheet.add, 0

    def counted(self: Sheet, *predictions: Prediction) -> None:
        nonlocal kept
        add(self, *predictions)
        kept += len(predictions)
        if kept >= answers:
            die()

    Sheet.add = counted  # type: ignore[method-assign]


def dies_at(name: str) -> None:
    """A process kills itself when it writes that file of a report."""

    def fatal(*_arguments: object) -> None:
        die()

    setattr(store, name, fatal)


def assert_same(found: Evaluated, plain: Evaluated) -> None:
    assert found.finished().reason == "completed"
    assert found.rows() == plain.rows()
    assert found.numbers() == plain.numbers()
    assert found.report().complete
    assert not found.files().journal.exists()


def test_killed_in_the_middle_it_goes_on_and_asks_nothing_twice(workspace: Workspace, plain: Evaluated) -> None:
    killed = evaluate_and_die(workspace, "killed", lambda: dies_after(5))
    assert len(killed.files().journal.read_bytes().splitlines()) == 5
    with killed.files().journal.open("ab") as journal:
        journal.write(b'{"prompt":"half a li')
    again = evaluate_and_die(workspace, "killed", lambda: dies_after(9))
    assert len(again.files().journal.read_bytes().splitlines()) == 5 + 1 + 9  # the torn line ends in a newline now
    whole = evaluate_here(workspace, "killed", resume=True)
    assert_same(whole, plain)
    assert whole.all(Answered)[-1].elapsed > 0


@pytest.mark.parametrize("place", ["write_scores", "_write_results"])
def test_killed_while_the_report_is_written(workspace: Workspace, plain: Evaluated, place: str) -> None:
    killed = evaluate_and_die(workspace, f"killed-{place}", lambda: dies_at(place))
    assert killed.files().predictions.exists()
    assert killed.files().journal.exists()
    assert not killed.files().report.exists()
    before = killed.files().journal.read_bytes()
    assert len(before.splitlines()) == ROWS
    assert_same(evaluate_here(workspace, f"killed-{place}", resume=True), plain)


def test_killed_between_the_report_and_the_journals_end(workspace: Workspace, plain: Evaluated) -> None:
    def arrange() -> None:
        Path.unlink = lambda *_a, **_k: die()  # type: ignore[method-assign,assignment]

    killed = evaluate_and_die(workspace, "killed-last", arrange)
    assert killed.report().complete
    assert killed.files().journal.exists()
    whole = evaluate_here(workspace, "killed-last", resume=True)
    assert_same(whole, plain)
    assert len(whole.all(ModelReady)) == 1  # nothing was loaded again


class StopsAfter(Control):
    """Wants a stop when it has been looked at so often."""

    def __init__(self, run: RunDirectory, looks: int) -> None:
        super().__init__(run)
        self.left = looks

    def look(self) -> Wanted:
        self.left -= 1
        return Wanted(stop=self.left < 0)


@pytest.fixture
def _looks_each_time(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(conduct, "_SECONDS_BETWEEN_LOOKS", 0.0)
    return iter(())


@pytest.mark.usefixtures("_looks_each_time")
def test_stopped_it_reports_what_there_is_and_goes_on_later(workspace: Workspace, plain: Evaluated) -> None:
    run = RunDirectory(workspace.runs / "stopped")
    stopped = evaluate_here(workspace, "stopped", control=StopsAfter(run, 15))
    report, done = stopped.report(), len(stopped.rows())
    assert stopped.finished().reason == "stopped"
    assert 0 < done < ROWS
    assert not report.complete
    assert f"ended early: {done} of {ROWS} answers" in report.notes
    assert report.values["bleu-4"].n == done
    assert stopped.all(PartScored) == []
    assert stopped.files().journal.exists()
    assert_same(evaluate_here(workspace, "stopped", resume=True), plain)


def test_rows_that_failed_are_asked_again_and_the_rest_is_not(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = evaluate_here(workspace, "again", dataset=("named",))
    asked: list[int] = []
    monkeypatch.setattr(
        Sheet, "add", lambda self, *rows, add=Sheet.add: (asked.extend(r.row for r in rows), add(self, *rows))
    )
    second = evaluate_here(workspace, "again", resume=True)
    assert asked == [5]
    assert second.rows() == first.rows()


def test_answers_to_rows_that_were_changed_meanwhile_are_not_mixed(workspace: Workspace) -> None:
    add_set(workspace, "changing", [{"instruction": "Q", "output": "a"}, {"instruction": "R", "output": "b"}])
    evaluate_and_die(workspace, "changing", lambda: dies_after(2), dataset=("changing",))
    told = "tiny · changing: the answers so far are to other rows than the test set has now"
    for changed in ({"instruction": "R", "output": "c"}, {"instruction": "another", "output": "b"}):
        add_set(workspace, "changing", [{"instruction": "Q", "output": "a"}, changed])
        assert evaluate_here(workspace, "changing", resume=True).failed().error == told


def test_answers_of_weights_that_were_changed_meanwhile_are_not_mixed(workspace: Workspace) -> None:
    adapter = workspace.runs / "renewed"
    shutil.copytree(workspace.runs / "peft", adapter)
    evaluate_and_die(workspace, "renewing", lambda: dies_after(2), adapter_name_or_path=("renewed",))
    weights_file = adapter / "adapter_model.safetensors"
    save_file({name: tensor + 1 for name, tensor in load_file(weights_file).items()}, weights_file)
    failed = evaluate_here(workspace, "renewing", resume=True).failed()
    assert failed.error == "renewed · colours: the answers so far are by other weights than lie there now"
    assert "--overwrite_output_dir" in failed.hint


def test_a_part_that_is_whole_stands_for_no_other_rows(workspace: Workspace) -> None:
    rows = [{"instruction": "Q", "output": "a"}, {"instruction": "R", "output": "b"}]
    add_set(workspace, "first", rows)
    add_set(workspace, "second", rows)
    names = ("first", "second")
    evaluate_and_die(workspace, "one-of-two", lambda: dies_after(3), dataset=names)
    add_set(workspace, "first", [{"instruction": "Q", "output": "a"}, {"instruction": "R", "output": "z"}])
    failed = evaluate_here(workspace, "one-of-two", resume=True).failed()
    assert failed.error == "tiny · first: the answers so far are to other rows than the test set has now"


def test_tokens_tell_that_it_goes_on_before_the_first_answer(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_SECONDS_OF_SILENCE", 0.0)
    found = evaluate_here(workspace, "tokens", max_samples=2)
    early = [event for event in found.all(Answered) if not event.done]
    assert max(event.tokens for event in early) > 0
    assert found.all(Answered)[-1].tokens == sum(row.tokens for row in found.rows())
    assert "0/2 ( 0.00% ), 2 tokens so far" in "\n".join(answered_line(event, 0.0) for event in early)


def test_a_full_disk_is_told_and_what_was_answered_is_kept(
    workspace: Workspace, plain: Evaluated, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        add, kept = Sheet.add, 0

        def full(self: Sheet, *predictions: Prediction) -> None:
            nonlocal kept
            if kept >= 4:
                raise OSError(errno.ENOSPC, "No space left on device")
            add(self, *predictions)
            kept += 1

        patch.setattr(Sheet, "add", full)
        failed = evaluate_here(workspace, "full-disk")
    assert failed.exit_code == 1
    assert failed.failed().error == "the disk is full: [Errno 28] No space left on device"
    assert failed.failed().hint == "make room and go on: the answers so far are safe"
    assert_same(evaluate_here(workspace, "full-disk", resume=True), plain)


def test_mistakes_are_told_before_anything_is_loaded(workspace: Workspace) -> None:
    add_set(workspace, "bad", [{"instruction": "Q", "output": "a"}, {"instruction": "Q"}, {"output": "b"}])
    failed = evaluate_here(workspace, "bad", dataset=("bad",))
    assert "2 problems in the data" in failed.failed().error
    assert "bad.jsonl:3" in failed.failed().error
    assert [event.stage for event in failed.all(StageChanged)] == ["data"]
    skipped = evaluate_here(workspace, "bad-skipped", dataset=("bad",), on_bad_rows="skip")
    assert (skipped.report().data.rows, skipped.report().data.left_out) == (1, 2)
    assert "no model zzz" in evaluate_here(workspace, "no-model", model_name_or_path="zzz").failed().error
