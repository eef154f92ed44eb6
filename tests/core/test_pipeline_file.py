"""A pipeline's file: whose options are whose, what steps stand on, and every mistake with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.config.pipeline import Pipeline, Reference, as_text, with_outputs
from core.config.pipeline_file import read_pipeline
from core.config.sources import Entry
from core.errors import ConfigError

EXAMPLES = Path(__file__).parents[2] / "examples"
WHOLE = """\
name: tales
model_name_or_path: demo
dataset: intro
learning_rate: 3e-4
steps:
  sft:
    preset: quick_lora
    dataset: other
  rm:
    stage: rm
  ppo:
    stage: ppo
    checkpoint_dir: ${sft}
    reward_model: ${rm@40}
  compare:
    does: eval
    adapter_name_or_path:
      - ${sft}
      - ${ppo@100}
    reward_model: ${rm}
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def read(text: str, **typed: str) -> Pipeline:
    Path("p.yaml").write_text(text, encoding="utf-8")
    entries = [Entry(key, raw, "typed", f"--{key}") for key, raw in typed.items()]
    return read_pipeline(Path("p.yaml"), entries)


def told(text: str, **typed: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(text, **typed)
    return [str(problem) for problem in caught.value.problems]


def values(pipeline: Pipeline, option: str) -> list[object]:
    return [step.values.get(option) for step in pipeline.steps]


def test_options_above_are_every_steps_that_has_them_and_says_nothing_else() -> None:
    found = read(WHOLE)
    assert (found.name, [step.name for step in found.steps]) == ("tales", ["sft", "rm", "ppo", "compare"])
    assert [step.verb for step in found.steps] == ["train", "train", "train", "eval"]
    assert values(found, "model_name_or_path") == ["demo"] * 4
    assert values(found, "dataset") == [("other",), ("intro",), ("intro",), ("intro",)]
    assert values(found, "learning_rate") == [3e-4, 3e-4, 3e-4, None]  # of trainings alone, and above a preset
    assert found.steps[0].values["lora_rank"] == read("steps: {a: {preset: quick_lora}}").steps[0].values["lora_rank"]
    assert found.steps[0].settings.origins["dataset"].where == "p.yaml:8: sft.dataset"
    assert read("steps:\n  a:\n    stage: sft\n").name == "p"


def test_the_example_is_read_and_is_a_whole_round() -> None:
    found = read_pipeline(EXAMPLES / "persona_rlhf.yaml")
    assert [(step.name, step.verb, step.after) for step in found.steps] == [
        ("sft", "train", ()),
        ("rm", "train", ()),
        ("ppo", "train", ("sft", "rm")),
        ("compare", "eval", ("sft", "ppo", "rm")),
    ]
    assert values(found, "stage") == ["sft", "rm", "ppo", None]
    assert len(set(values(found, "source_prefix"))) == 1
    assert "reward" in found.steps[3].values["metrics"]


def test_steps_stand_on_those_that_they_name() -> None:
    sft, rm, ppo, compare = read(WHOLE).steps
    assert (sft.after, rm.after, ppo.after, compare.after) == ((), (), ("sft", "rm"), ("sft", "ppo", "rm"))
    assert ppo.references == (Reference("adapter_name_or_path", "sft"), Reference("reward_model", "rm", 40))
    assert read(WHOLE).standing_on(["rm"]) == ("rm", "ppo", "compare")
    assert read(WHOLE).standing_on(["ppo"]) == ("ppo", "compare")

    def place(reference: Reference) -> str:
        return f"/runs/{reference.step}" + (f"@{reference.checkpoint}" if reference.checkpoint else "")

    filled = with_outputs(compare, place).values()
    assert filled["adapter_name_or_path"] == ("/runs/sft", "/runs/ppo@100")
    assert filled["reward_model"] == "/runs/rm"
    assert with_outputs(ppo, place).values()["reward_model"] == "/runs/rm@40"


def test_a_pipeline_written_out_is_complete_and_reads_back_as_the_same() -> None:
    found = read(WHOLE)
    Path("again.yaml").write_text(as_text(found), encoding="utf-8")
    again = read_pipeline(Path("again.yaml"))
    assert again.name == "tales"
    assert [(step.name, step.verb, step.values) for step in again.steps] == [
        (step.name, step.verb, step.values) for step in found.steps
    ]
    assert again.steps[2].references == found.steps[2].references


def test_what_is_typed_wins_for_all_steps_or_for_one() -> None:
    found = read(WHOLE, **{"model_name_or_path": "tiny", "sft.dataset": "third", "name": "mine", "ppo.max_steps": "5"})
    assert found.name == "mine"
    assert values(found, "model_name_or_path") == ["tiny"] * 4
    assert values(found, "dataset") == [("third",), ("intro",), ("intro",), ("intro",)]
    default = read(WHOLE).steps[0].values["max_steps"]
    assert values(found, "max_steps") == [default, default, 5, None]
    assert told(WHOLE, **{"pop.max_steps": "5", "lora_rnk": "4"}) == [
        "--pop.max_steps: there is no such step (did you mean 'ppo'?)",
        "--lora_rnk: is no option (did you mean 'lora_rank'?)",
    ]


def test_all_mistakes_of_all_steps_are_told_at_once() -> None:
    text = """\
name: a/b
lerning_rate: 1
steps:
  one:
    lora_rank: many
  two:
    does: evaluate
    lora_rank: 0
  three:
    does: eval
    adapter_name_or_path: ${ones},${four},${two}
    lora_rank: 4
    resume: true
    output_dir: x
  four:
    adapter_name_or_path: ${three}
"""
    assert sorted(told(text)) == sorted(
        [
            "p.yaml:1: name: is no name of a folder (take letters, digits, - and _)",
            "p.yaml:2: lerning_rate: is no option (did you mean 'learning_rate'?)",
            "p.yaml:5: one.lora_rank: expected a whole number from 1 up, not 'many'",
            "p.yaml:7: two.does: expected train or eval, not 'evaluate' (did you mean 'eval'?)",
            "p.yaml:8: two.lora_rank: expected a whole number from 1 up, not '0'",
            "p.yaml:12: three.lora_rank: is no option here "
            "(it is stored with the adapter and read from there; leave it out)",
            "p.yaml:13: three.resume: is decided by the pipeline"
            " (leave it out: steps that ended early are gone on with; --restart makes one anew)",
            "p.yaml:16: four.adapter_name_or_path: three is an evaluation, which leaves no weights"
            " (name a step that trains)",
        ]
    )


def test_references_name_steps_above() -> None:
    text = """\
steps:
  one:
    dataset: x
    adapter_name_or_path: ${two}
  two:
    dataset: x
    adapter_name_or_path: ${onw}
  three:
    does: eval
    adapter_name_or_path: ${two}
  four:
    adapter_name_or_path: ${three@5}
"""
    assert told(text) == [
        "p.yaml:4: one.adapter_name_or_path: two is not made before one (steps can name those that stand above them)",
        "p.yaml:7: two.adapter_name_or_path: there is no step 'onw' (did you mean 'one'?)",
        "p.yaml:12: four.adapter_name_or_path: three is an evaluation, which leaves no weights"
        " (name a step that trains)",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("name: x\n", "p.yaml: has no steps (name them below `steps:`, each with its options; "),
        ("steps: [a, b]\n", "p.yaml:1: steps: holds no steps (write `NAME:` and below it its options)"),
        ("steps:\n  a: sft\n", "p.yaml:2: a: has no options (write them below its name, indented)"),
        ("steps:\n  a: {seed: 1}\n  a: {seed: 2}\n", "p.yaml:3: a: is a second step of that name (rename one of them)"),
        ("steps:\n  a b: {seed: 1}\n", "p.yaml:2: a b: is no name of a folder (take letters, digits, - and _)"),
        ("output_dir: x\nsteps:\n  a: {seed: 1}\n", "p.yaml:1: output_dir: would be the same folder for every step"),
        ("steps:\n  a:\n    overwrite_output_dir: true\n", "p.yaml:3: a.overwrite_output_dir: is decided by the pip"),
        ("steps:\n  a: {seed: 1, seed: 2}\n", "p.yaml:2: seed: stands already in line 2"),
        ("steps:\n  a:\n    preset: none\n", "p.yaml:3: a.preset: there is no preset 'none' (there are: quick_"),
        ("steps: {a: [\n", "p.yaml:2: is no YAML: "),
    ],
)
def test_shapes_that_are_none(text: str, problem: str) -> None:
    assert told(text)[0].startswith(problem)


def test_a_step_that_is_like_another_has_its_options_but_for_what_it_says_itself() -> None:
    text = WHOLE.partition("  compare:")[0]
    found = read(text + "  bolder:\n    like: ppo\n    adapter_name_or_path: ${rm}\n    ppo_kl_coef: 0.5\n")
    ppo, bolder = found.steps[-2:]
    assert bolder.given == ppo.given | {"adapter_name_or_path": "${rm}", "ppo_kl_coef": "0.5"}
    found = read(text + "  first:\n    like: sft\n  other:\n    like: first\n    lora_rank: 2\n")
    sft, first, other = found.steps[0], *found.steps[-2:]
    assert (first.given, other.given) == (sft.given, sft.given | {"lora_rank": "2"})
    assert read(as_text(found)).steps[-1].given == other.given
    own = read("steps:\n  a: {does: eval, dataset: x, output_dir: here}\n  b: {like: a}\n").steps[1]
    assert (own.verb, own.values["output_dir"], own.values["dataset"]) == ("eval", None, ("x",))


def test_a_step_is_like_one_above_it() -> None:
    assert told("steps:\n  one: {like: tow}\n  two: {lora_rank: 2}\n") == [
        "p.yaml:2: one.like: there is no step 'tow' above it"
    ]
    assert told("steps:\n  one: {lora_rank: 2}\n  two: {like: oen}\n") == [
        "p.yaml:3: two.like: there is no step 'oen' above it (did you mean 'one'?)"
    ]
