"""Options from a command line, a file, a preset and a form: which value counts, and what is said of the wrong ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, ClassVar

import pytest
from pydantic import Field

from core.config.evaluation import EVALUATION
from core.config.fields import Section, describe, shown
from core.config.files import read_pairs
from core.config.generation import GenerationOptions
from core.config.load import Origin, load
from core.config.model import ModelOptions
from core.config.save import as_yaml
from core.config.sources import EvaluationSourceOptions, Preset, SourceOptions, TrainingSourceOptions, list_presets
from core.config.training import TRAINING
from core.errors import ConfigError

ROOT = Path(__file__).parents[2]
ALL = (ModelOptions, GenerationOptions, SourceOptions)


def typed(line: str, *words: str) -> dict[str, Any]:
    """The options that a command line gives, without those at their defaults."""
    settings = load(ALL, arguments=[*line.split(), *words])
    return {name: value for name, value in settings.values().items() if settings.origins[name].source != "default"}


def problems(*words: str, **sources: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(ALL, arguments=words, **sources)
    return list(map(str, caught.value.problems))


# --- the command line -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("--top_k 8", {"top_k": 8}),
        ("--top-k 8", {"top_k": 8}),
        ("--top_k=8", {"top_k": 8}),
        ("--top-k=8", {"top_k": 8}),
        ("top_k=8", {"top_k": 8}),
        ("--top_k 8 --top_k 9", {"top_k": 9}),
        ("--temperature 5e-1", {"temperature": 0.5}),
        ("--temperature 1", {"temperature": 1.0}),
        ("--infer_dtype bfloat16", {"dtype": "bfloat16"}),
        ("--adapter_name_or_path a,b", {"adapter_name_or_path": ("a", "b")}),
        ("--adapter a --checkpoint-dir b", {"adapter_name_or_path": ("a", "b")}),
        ("--stop a,b --stop c", {"stop": ("a,b", "c")}),
        ('--stop ["a","b"]', {"stop": ("a", "b")}),
        ("--default_system=", {"default_system": ""}),
        ("--default_system -- --stop -1", {"default_system": "--", "stop": ("-1",)}),
        ("--trust_remote_code", {"trust_remote_code": True}),
        ("--trust_remote_code True --top_k 1", {"trust_remote_code": True, "top_k": 1}),
        ("--trust_remote_code --top_k 1", {"trust_remote_code": True, "top_k": 1}),
        ("--trust_remote_code=false", {"trust_remote_code": False}),
        ("--trust-remote-code no", {"trust_remote_code": False}),
        ("--no_trust_remote_code", {"trust_remote_code": False}),
        ("--no-do-sample", {"do_sample": False}),
        ("--do_sample top_k=3 temperature=1", {"do_sample": True, "top_k": 3, "temperature": 1.0}),
    ],
)
def test_options_as_people_type_them(line: str, values: dict[str, Any]) -> None:
    assert typed(line) == values


def test_a_text_may_hold_anything() -> None:
    assert typed("--default_system", "--no, I said: a=b c.yaml\n你好") == {
        "default_system": "--no, I said: a=b c.yaml\n你好"
    }


@pytest.mark.parametrize(
    "line",
    [
        "--model_name_or_path default --template default",
        "--model_name_or_path default --adapter_name_or_path outputs/sft_output --template default"
        " --finetuning_type lora",
        "--model_name_or_path default",
    ],
)
def test_the_seeds_commands_for_chat_are_taken(line: str) -> None:
    assert typed(line)["model_name_or_path"] == "default"


def test_a_name_behind_a_switch_stays_a_name() -> None:
    words = ["--include_base", "zh", "--fp16", "no"]
    settings = load((*EVALUATION, EvaluationSourceOptions), arguments=[*words, "--dataset", "intro"])
    found = {name: settings.values()[name] for name in ("include_base", "adapter_name_or_path", "fp16")}
    assert found == {"include_base": True, "adapter_name_or_path": ("zh",), "fp16": False}


# --- what is wrong ----------------------------------------------------------------------------------------------


def test_all_mistakes_are_told_at_once_each_with_its_place() -> None:
    line = "--temperature hot --top-p=2 --temprature 1 --dtype float61 --lora_rank 8 --do_sample maybe -x word --seed"
    assert problems(*line.split()) == [
        "-x: options have long names here (begin them with two dashes)",
        "word: nothing is expected here without the name of an option before it"
        " (put a text with spaces between quotes, the items of a list between commas)",
        "--seed: a value is missing: a whole number from 0 to 4294967295",
        "--temprature: is no option (did you mean 'temperature'?)",
        "--lora_rank: is no option here (it is stored with the adapter and read from there; leave it out)",
        "--dtype: expected one of auto, float32, bfloat16, float16, not 'float61' (did you mean 'float16'?)",
        "--temperature: expected a number from 0 to 5, not 'hot'",
        "--top-p: expected a number above 0, up to 1, not '2'",
        "--do_sample: expected true or false, not 'maybe'",
    ]


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--temperature", "nan"], "--temperature: expected a number from 0 to 5, not 'nan'"),
        (["--top_k", "1.5"], "--top_k: expected a whole number from 0 up, not '1.5'"),
        (["--top_k"], "--top_k: a value is missing: a whole number from 0 up"),
        (["--top_k", "--seed=1"], "--top_k: a value is missing: a whole number from 0 up"),
        (["--seed="], "--seed: has no value (leave the line out for its default, 0)"),
        (["--no_top_k"], "--no_top_k: is no option (did you mean 'top_k'?)"),
        (["--no_do_sample=1"], "--no_do_sample: takes no value (write --do_sample=1)"),
        (["--num_beams", "4"], "--num_beams: is no option here (there is no beam search; "),
        (["--quantization_bit", "4"], "--quantization_bit: is no option here (weights are held as "),
        (["--vllm_maxlen=4"], "--vllm_maxlen: is no option here (finetui has one engine"),
        (["--do_sample", "--temperature", "0"], "--do_sample: true asks for drawn answers, temperature 0 for greedy"),
        (["--adapter", "a", "--finetuning_type=full"], "--adapter: finetuning_type full makes whole models"),
        (["--preset", "creativ"], "--preset: there is no preset 'creativ' (did you mean 'creative'?)"),
        (["--preset", "x"], "--preset: there is no preset 'x' (there are: balanced, creative, precise)"),
        (["c.json", "top_k=1", "--config=d.yaml", "--preset=precise"], "--config: is a second file of options (put"),
        (["--config", "no.yaml"], "no.yaml: cannot be read: No such file or directory"),
        (["--top_k", "x" * 99], f"--top_k: expected a whole number from 0 up, not '{'x' * 56}…'"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_the_way_out(words: list[str], problem: str) -> None:
    told, *_ = problems(*words)
    assert told.startswith(problem)


def test_a_required_option_is_asked_for() -> None:
    class Needy(Section):
        title: ClassVar[str] = "Needy"
        dataset: Annotated[str, Field(min_length=1)]
        """What to learn from."""

    with pytest.raises(ConfigError, match=r"--dataset: is missing \(expected a text\)"):
        load([Needy])


# --- where values come from -------------------------------------------------------------------------------------


def test_what_is_typed_wins_over_the_file_over_the_preset_over_the_default(tmp_path: Path) -> None:
    file = tmp_path / "chat.yaml"
    file.write_text("# mine\ntop_p: 0.5\nmin_p: 0.25\nseed: 7\n")
    settings = load(ALL, arguments=["--seed", "8", str(file), "--preset=creative"])
    generation = settings[GenerationOptions]
    assert (generation.seed, generation.top_p, generation.min_p) == (8, 0.5, 0.25)
    assert (generation.temperature, generation.max_new_tokens) == (1.1, 512)
    assert {name: settings.origins[name] for name in ("seed", "top_p", "temperature", "max_new_tokens")} == {
        "seed": Origin("typed", "--seed"),
        "top_p": Origin("file", f"{file}:2: top_p"),
        "temperature": Origin("preset", "creative.yaml:2: temperature"),
        "max_new_tokens": Origin("default", ""),
    }


def test_what_a_form_says_is_told_by_its_name() -> None:
    assert load(ALL, values={"top_k": 3, "do_sample": "", "stop": ("a", "b")})[GenerationOptions].stop == ("a", "b")
    assert problems(values={"top_k": "many", "seed": True}) == [
        "top_k: expected a whole number from 0 up, not 'many'",
        "seed: expected a whole number from 0 to 4294967295, not 'true'",
    ]


def test_every_value_survives_being_shown_and_read_again() -> None:
    odd = GenerationOptions(temperature=0.1 + 0.2, stop=("a,b", "[", "\n"), do_sample=True, default_system="x: {y}")
    texts = {spec.name: shown(getattr(odd, spec.name)) for spec in describe(GenerationOptions)}
    assert load([GenerationOptions], values=texts)[GenerationOptions] == odd


SECTIONS_OF = {
    "chat": ALL,
    "train": (*TRAINING, TrainingSourceOptions),
    "eval": (*EVALUATION, EvaluationSourceOptions),
}
PRESETS = [preset for verb in ("chat", "train", "eval") for preset in list_presets(verb)]


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_the_presets_that_come_with_finetui_can_be_loaded_and_are_named_in_the_help(preset: Preset) -> None:
    sections = SECTIONS_OF[preset.path.parent.name]
    origins = load(sections, arguments=["--preset", preset.name]).origins
    given = {name for name, origin in origins.items() if origin.source == "preset"}
    assert given == {key for key, _value, _line in read_pairs(preset.path, preset.name)}
    (option,) = [spec for spec in describe(sections[-1]) if spec.name == "preset"]
    assert preset.name in option.help
    assert preset.about


def test_presets_of_another_verb_are_none_of_this_one() -> None:
    assert list_presets("train")[0].name == "quick_lora"
    with pytest.raises(ConfigError, match=r"there is no preset 'precise' \(there are: quick_lora, adgen_ptuning, "):
        load((*TRAINING, TrainingSourceOptions), arguments=["--preset", "precise"])
    with pytest.raises(ConfigError, match="there is no preset 'quick_lora'"):
        load(ALL, arguments=["--preset", "quick_lora"])


def test_presets_name_sets_and_columns_that_are_there() -> None:
    bundled = json.loads((ROOT / "data/dataset_info.json").read_bytes())
    for preset in PRESETS:
        values = load(SECTIONS_OF[preset.path.parent.name], arguments=["--preset", preset.name]).values()
        assert set(values.get("dataset", ())) <= set(bundled), preset.name


def test_what_is_saved_is_complete_tells_its_origins_and_reads_back_as_the_same(tmp_path: Path) -> None:
    odd = {
        "model_name_or_path": "no",
        "adapter": ["a b", "😀"],
        "default_system": "x: #\x1b\u202e\x7f\udc80\n'\"\\",
        "do_sample": True,
        "stop": ("a,b", "[", "\n"),
        "temperature": 0.1 + 0.2,
        "template": "1e3",
    }
    settings = load(ALL, values=odd, arguments=["--preset", "creative", "--top-k=3"])
    text = as_yaml(settings, ModelOptions, GenerationOptions)
    lines = text.splitlines()
    assert 'model_name_or_path: "no"  # model_name_or_path' in lines
    assert "top_k: 3  # --top-k" in lines
    assert "min_p: 0.05  # creative.yaml:4: min_p" in lines
    assert "max_new_tokens: 512  # default" in lines
    assert "enable_thinking: null  # default" in lines
    assert all(character.isprintable() for character in text.replace("\n", ""))
    again = from_file(tmp_path / "saved.yaml", text)
    kept = {name: value for name, value in settings.values().items() if name not in SourceOptions.model_fields}
    assert again == kept


# --- files ------------------------------------------------------------------------------------------------------


def from_file(path: Path, content: str | bytes) -> dict[str, Any]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    settings = load(ALL, file=path)
    return {name: value for name, value in settings.values().items() if settings.origins[name].source == "file"}


def test_yaml_means_what_the_command_line_means(tmp_path: Path) -> None:
    content = """### model
model_name_or_path: 010
adapter_name_or_path: [a, 1e3]
trust_remote_code: no
template: "no"

### generation
temperature: 5e-1
top_k: "8"
do_sample: null
enable_thinking:
stop:
- on
- "\\n"
default_system: >-
  two
  lines
"""
    assert from_file(tmp_path / "x.yaml", content) == {
        "model_name_or_path": "010",
        "adapter_name_or_path": ("a", "1e3"),
        "trust_remote_code": False,
        "template": "no",
        "temperature": 0.5,
        "top_k": 8,
        "do_sample": None,
        "enable_thinking": None,
        "stop": ("on", "\n"),
        "default_system": "two lines",
    }


def test_json_is_taken_as_well(tmp_path: Path) -> None:
    content = (
        '{\n\t"temperature": 5e-1, "do_sample": true,\n\t"stop": ["\\ud83d\\ude00"], '
        '"seed": 4294967295,\n"adapter": null}'
    )
    assert from_file(tmp_path / "x.json", content) == {
        "temperature": 0.5,
        "do_sample": True,
        "stop": ("😀",),
        "seed": 4294967295,
        "adapter_name_or_path": (),
    }


def test_an_empty_file_and_a_byte_order_mark_are_no_mistakes(tmp_path: Path) -> None:
    assert from_file(tmp_path / "empty.yaml", "# nothing yet\n") == {}
    assert from_file(tmp_path / "bom.yaml", b"\xef\xbb\xbfseed: 3\n") == {"seed": 3}


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("x.yaml", "seed: 1\ntop_k: x\nfoo: 1\nlora_rank: 8\ntemprature: 1\n", [
            "x.yaml:3: foo: is no option",
            "x.yaml:4: lora_rank: is no option here (it is stored with the adapter",
            "x.yaml:5: temprature: is no option (did you mean 'temperature'?)",
            "x.yaml:2: top_k: expected a whole number from 0 up, not 'x'",
        ]),
        ("x.yaml", "seed: 1\nseed: 2\ngeneration:\n  top_k: 1\nstop: [[a]]\n", [
            "x.yaml:2: seed: stands already in line 1",
            "x.yaml:3: generation: is a group (options stand flat, one `name: value` a line)",
            "x.yaml:5: stop: is a group (options stand flat, one `name: value` a line)",
        ]),
        ("x.yaml", "preset: precise\n", ["x.yaml:1: preset: cannot stand in a file (type it, with two dashes)"]),
        ("x.yaml", "top_k: ~\n", ["x.yaml:1: top_k: has no value (leave the line out for its default, 0)"]),
        ("x.yaml", "seed: 1\n\tx: [\n", ["x.yaml:2: is no YAML: "]),
        ("x.yaml", "a\x00b", ["x.yaml: is no YAML: "]),
        ("x.yaml", "[" * 9999, ["x.yaml: is no YAML: "]),
        ("x.yaml", "- seed\n", ["x.yaml: holds no options (write one `name: value` a line)"]),
        ("x.yaml", "seed: 1\n---\nseed: 2\n", ["x.yaml:2: is no YAML: but found another document"]),
        ("x.json", '{"seed": 1,\n "top_k": true}', ["x.json:2: top_k: expected a whole number from 0 up, not 'true'"]),
        ("x.json", '{"seed": 1,\n}', ["x.json:2: is no JSON: "]),
        ("x.json", "[" * 99999, ["x.json: is no JSON: "]),
        ("x.json", '{"seed": 1, "seed": 2, "stop": {"a": 1}}', [
            "x.json:1: seed: stands already in line 1",
            "x.json:1: stop: is a group",
        ]),
        ("x.json", "[1]", ["x.json: holds no options"]),
        ("x.yaml", b"system: \xe9\n", ["x.yaml: is no UTF-8 text (save it as UTF-8)"]),
    ],
)  # fmt: skip
def test_a_mistake_in_a_file_is_told_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: str | bytes, told: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(content.encode() if isinstance(content, str) else content)
    found = problems("--config", name)
    assert len(found) == len(told)
    for problem, beginning in zip(found, told, strict=True):
        assert problem.startswith(beginning)


def test_a_folder_in_place_of_a_file_is_told(tmp_path: Path) -> None:
    assert problems(file=tmp_path) == [f"{tmp_path}: cannot be read: Is a directory"]
