"""Models and adapters as they are found on disk, whole and damaged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.errors import AdapterMismatch, ModelNotFound
from core.models.adapters import check_adapter, find_adapters, resolve_adapter
from core.models.catalog import adapters_without_base, list_models, resolve_model
from core.models.figures import method_text, trained_pairs
from core.models.hub_cache import cache_folder
from core.models.info import read_model
from core.models.notes import AdapterNotes, MergedAdapter, PrefixFacts, write_notes
from core.workspace import Workspace
from folders import make_adapter, make_model, make_weights
from hostile import FILE_NAMES


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "ws")


def _problems(folder: Path) -> tuple[str, ...]:
    return read_model(folder, "x", "folder").problems


def _cached(hub_id: str, commit: str = "abc") -> Path:
    repository = cache_folder() / ("models--" + hub_id.replace("/", "--"))
    folder = make_model(repository / "snapshots" / commit)
    (repository / "refs").mkdir(exist_ok=True)
    (repository / "refs" / "main").write_text(commit)
    return folder


# --- models -----------------------------------------------------------------------------------------------------


def test_a_model_is_described_from_its_headers(workspace: Workspace) -> None:
    folder = make_model(workspace.models / "demo", layers=2)
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n# demo\n")
    (model,) = list_models(workspace)
    assert (model.name, model.path, model.source) == ("demo", folder, "workspace")
    assert (model.architecture, model.dtype, model.context_length) == ("LlamaForCausalLM", "bfloat16", 8192)
    assert model.parameters == 2 * 7 * 576 * 576
    assert model.size_bytes == 2 * model.parameters
    assert model.license == "apache-2.0"
    assert model.has_chat_template
    assert model.problems == ()


def test_shards_are_added_up(tmp_path: Path) -> None:
    whole = read_model(make_model(tmp_path / "whole", layers=4), "x", "folder")
    parts = read_model(make_model(tmp_path / "parts", layers=4, shards=2), "x", "folder")
    assert parts.parameters == whole.parameters


def test_shards_that_are_missing_are_named(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "m", layers=2, shards=2)
    names = [f"model-0000{n}-of-00002.safetensors" for n in (1, 2)]
    index = {"weight_map": {"a": names[0], "b": names[1], "c": "../../etc/passwd"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert _problems(folder) == ()
    (folder / names[1]).unlink()
    assert _problems(folder) == (f"1 weight files are missing, such as {names[1]}",)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "config.json is no JSON"),
        ("[]", "config.json holds no JSON object"),
        ("\x00", "config.json is no JSON"),
        ("[" * 100_000, "config.json is no JSON"),
    ],
)
def test_damaged_config_is_a_problem_not_a_crash(workspace: Workspace, content: str, problem: str) -> None:
    folder = make_model(workspace.models / "m")
    (folder / "config.json").write_text(content)
    (model,) = list_models(workspace)
    assert model.problems[0].startswith(problem)


def test_nonsense_in_config_is_ignored(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "m")
    nonsense = {"architectures": 7, "max_position_embeddings": "long", "text_config": 3, "quantization_config": []}
    (folder / "config.json").write_text(json.dumps(nonsense))
    model = read_model(folder, "m", "folder")
    assert (model.architecture, model.context_length, model.problems) == ("", 0, ())


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"\xff" * 8,
        b"\x02\0\0\0\0\0\0\0{",
        b'\x0d\0\0\0\0\0\0\0{"a": [1, 2]}',
        b"\x02\0\0\0\0\0\0\0[]",
        (36).to_bytes(8, "little") + b'{"a":{"dtype":"F32","shape":[-1.5]}}',
    ],
)
def test_damaged_weights_are_a_problem_not_a_crash(tmp_path: Path, header: bytes) -> None:
    folder = make_model(tmp_path / "m")
    (folder / "model.safetensors").write_bytes(header)
    assert _problems(folder) == ("model.safetensors cannot be read: its header is damaged",)


def test_weights_that_end_early(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "m")
    size = (folder / "model.safetensors").stat().st_size
    with (folder / "model.safetensors").open("r+b") as file:
        file.truncate(size - 1)
    assert _problems(folder) == (f"model.safetensors cannot be read: it ends early, after {size - 1} of {size} bytes",)


def test_pickles_and_code_of_a_folder_are_problems(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "m")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    config = json.loads((folder / "config.json").read_bytes())
    (folder / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "modeling.M"}}))
    pickled, code = _problems(folder)
    assert pickled == "only pickled weights (pytorch_model.bin), which can run any code when loaded"
    assert "auto_map" in code
    assert "--trust_remote_code" in code


def test_no_weights_and_no_tokenizer(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "m")
    (folder / "model.safetensors").unlink()
    (folder / "tokenizer.json").unlink()
    assert _problems(folder) == ("no weights: a download that ended early?", "no tokenizer")


def test_half_made_folders_are_not_listed(workspace: Workspace) -> None:
    make_model(workspace.models / ".pulling-demo-1" / "model")
    make_model(workspace.models / "org" / "name")
    assert [model.name for model in list_models(workspace)] == ["org/name"]


def test_hostile_names_do_no_harm(workspace: Workspace) -> None:
    for name in FILE_NAMES.values():
        make_model(workspace.models / f"m{name}")
    assert len(list_models(workspace)) == len(set(FILE_NAMES.values()))


# --- names ------------------------------------------------------------------------------------------------------


def test_names_lead_to_folders(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = make_model(workspace.models / "demo")
    default = make_model(workspace.models / "smollm2-135m-instruct")
    elsewhere = make_model(tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path)
    assert resolve_model("demo", workspace).path == own
    assert resolve_model("models/demo", workspace).path == own
    assert resolve_model(str(own), workspace).name == "demo"
    assert resolve_model(str(elsewhere), workspace).source == "folder"
    assert resolve_model("elsewhere", workspace).path == elsewhere
    assert resolve_model("default", workspace).path == default


def test_hugging_face_cache_is_read_offline(workspace: Workspace) -> None:
    snapshot = _cached("org/name")
    _cached("org/unfinished")
    encoder = _cached("org/encoder")
    (encoder / "config.json").write_text('{"architectures": ["BertModel"]}')
    model = resolve_model("org/name", workspace)
    assert (model.path, model.source) == (snapshot, "huggingface")
    assert [model.name for model in list_models(workspace)] == ["org/name", "org/unfinished"]


def test_main_that_leads_out_of_the_cache_is_not_followed(workspace: Workspace, tmp_path: Path) -> None:
    _cached("org/name", commit="abc")
    (cache_folder() / "models--org--name" / "refs" / "main").write_text("../../../..")
    assert resolve_model("org/name", workspace).path.name == "abc"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("default", "fetch it with: finetui models pull default"),
        ("gemma3-270m", "fetch it with: finetui models pull gemma3-270m"),
        ("dmeo", "did you mean 'demo'?"),
        ("Qwen/Qwen3-0.6B", "finetui models pull Qwen/Qwen3-0.6B"),
        ("zzz", "finetui models list"),
        ("x" * 5000, "finetui models list"),
        ("~nobody-of-that-name/x", "finetui models list"),
        ("a\0b", "finetui models list"),
        ("", "finetui models list"),
    ],
)
def test_unknown_names_say_what_to_do(workspace: Workspace, name: str, hint: str) -> None:
    make_model(workspace.models / "demo")
    with pytest.raises(ModelNotFound) as caught:
        resolve_model(name, workspace)
    assert hint in caught.value.hint


# --- adapters ---------------------------------------------------------------------------------------------------


def test_adapters_stand_under_their_base(workspace: Workspace) -> None:
    base = make_model(workspace.models / "demo")
    make_adapter(workspace.runs / "run", str(base))
    for step in (2, 10, 100):
        make_adapter(workspace.runs / "run" / "checkpoints" / f"step-{step}", "somewhere/else/Demo")
    make_adapter(workspace.models / "given", "org/demo")
    make_adapter(workspace.models / "orphan", "org/other")
    (model,) = list_models(workspace)
    names = ["run", "run/step-2", "run/step-10", "run/step-100", "given"]
    assert [adapter.name for adapter in model.adapters] == names
    assert (model.adapters[0].method, model.adapters[0].rank) == ("lora", 8)
    assert model.adapters[0].parameters == 2 * 2 * 8 * 576
    assert [adapter.name for adapter in adapters_without_base([model], find_adapters(workspace))] == ["orphan"]


def test_adapters_by_name_and_by_folder(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_adapter(workspace.runs / "zh" / "checkpoints" / "step-5", "demo")
    monkeypatch.chdir(tmp_path)
    assert resolve_adapter("zh/step-5", workspace).path == folder
    assert resolve_adapter("runs/zh/checkpoints/step-5", workspace).path == folder
    assert resolve_adapter(str(folder), workspace).path == folder
    with pytest.raises(ModelNotFound, match=r"no adapter zh/step-6: did you mean 'zh/step-5'\?"):
        resolve_adapter("zh/step-6", workspace)


def test_a_run_without_the_adapter_that_is_asked_for_tells_what_it_has(workspace: Workspace) -> None:
    run = workspace.runs / "zh"
    run.mkdir(parents=True)
    (run / "launch.json").write_text("{}")
    with pytest.raises(ModelNotFound, match="no adapter zh: the run zh has saved no weights"):
        resolve_adapter("zh", workspace)
    for step in (5, 10):
        make_adapter(run / "checkpoints" / f"step-{step:06d}", "demo")
    for name in ("zh", "zh@7"):
        with pytest.raises(ModelNotFound, match=f"no adapter {name}: the run zh has saved: 5, 10; write zh@STEP"):
            resolve_adapter(name, workspace)


def test_an_adapter_that_fits(workspace: Workspace) -> None:
    base = make_model(workspace.models / "demo")
    make_adapter(workspace.runs / "run", str(base))
    make_adapter(workspace.runs / "moved", "org/renamed")
    model = resolve_model("demo", workspace)
    assert check_adapter(resolve_adapter("run", workspace), model) == ()
    (said,) = check_adapter(resolve_adapter("moved", workspace), model)
    assert said == "the adapter moved was trained on org/renamed, not on demo; their shapes agree"


def test_an_adapter_of_another_shape(workspace: Workspace) -> None:
    make_model(workspace.models / "demo")
    folder = make_adapter(workspace.runs / "run", "org/bigger")
    stem = "base_model.model.model.layers.0.q_proj"
    make_weights(
        folder / "adapter_model.safetensors", {f"{stem}.lora_A.weight": [8, 1024], f"{stem}.lora_B.weight": [576, 8]}
    )
    with pytest.raises(AdapterMismatch) as caught:
        check_adapter(resolve_adapter("run", workspace), resolve_model("demo", workspace))
    assert caught.value.message == (
        "the adapter run does not fit demo: layers.0.q_proj takes 1024 and gives 576 there, 576 × 576 here"
    )
    assert caught.value.hint == "it was trained on org/bigger"


def test_an_adapter_of_a_deeper_model(workspace: Workspace) -> None:
    make_model(workspace.models / "demo", layers=2)
    make_adapter(workspace.runs / "run", "demo", layers=3)
    with pytest.raises(AdapterMismatch, match=r"the model has no layers\.2\.q_proj"):
        check_adapter(resolve_adapter("run", workspace), resolve_model("demo", workspace))


def test_a_prefix_of_another_width(workspace: Workspace) -> None:
    base = make_model(workspace.models / "demo", layers=2)
    config = json.loads((base / "config.json").read_bytes())
    (base / "config.json").write_text(json.dumps({**config, "num_attention_heads": 9, "num_key_value_heads": 3}))
    folder = make_adapter(workspace.runs / "run", "demo")
    (folder / "adapter_config.json").write_text('{"peft_type": "PREFIX_TUNING", "base_model_name_or_path": "demo"}')
    model = resolve_model("demo", workspace)
    make_weights(folder / "adapter_model.safetensors", {"prompt_embeddings": [16, 2 * 2 * 3 * 64]})
    assert check_adapter(resolve_adapter("run", workspace), model) == ()
    make_weights(folder / "adapter_model.safetensors", {"prompt_embeddings": [16, 28 * 2 * 3 * 64]})
    with pytest.raises(AdapterMismatch, match="its prefix is 10752 numbers wide, the model takes 768"):
        check_adapter(resolve_adapter("run", workspace), model)


def test_an_adapter_of_a_tied_output_layer_fits(workspace: Workspace) -> None:
    make_model(workspace.models / "demo")
    folder = make_adapter(workspace.runs / "run", "demo")
    stem = "base_model.model.lm_head"
    make_weights(
        folder / "adapter_model.safetensors", {f"{stem}.lora_A.weight": [8, 576], f"{stem}.lora_B.weight": [100, 8]}
    )
    assert check_adapter(resolve_adapter("run", workspace), resolve_model("demo", workspace)) == ()


def test_damaged_adapters_are_listed_with_their_problem(workspace: Workspace) -> None:
    torn = make_adapter(workspace.runs / "torn", "demo")
    (torn / "adapter_config.json").write_text("{")
    pickled = make_adapter(workspace.runs / "pickled", "demo")
    (pickled / "adapter_model.safetensors").rename(pickled / "adapter_model.bin")
    problems = {adapter.name: adapter.problems for adapter in find_adapters(workspace)}
    assert problems["pickled"] == ("only pickled weights, which can run any code when loaded",)
    assert problems["torn"][0].startswith("adapter_config.json is no JSON")
    make_model(workspace.models / "demo")
    with pytest.raises(AdapterMismatch, match="the adapter pickled cannot be used: only pickled weights"):
        check_adapter(resolve_adapter("pickled", workspace), resolve_model("demo", workspace))


def test_a_prefix_of_ours_is_an_adapter_by_its_notes(workspace: Workspace) -> None:
    base = make_model(workspace.models / "demo", layers=2)
    config = json.loads((base / "config.json").read_bytes())
    (base / "config.json").write_text(json.dumps({**config, "num_attention_heads": 9, "num_key_value_heads": 3}))
    folder = workspace.runs / "tuned"
    folder.mkdir(parents=True)
    make_weights(folder / "prefix_encoder.safetensors", {"embedding.weight": [16, 2 * 2 * 3 * 64]})
    (unnamed,) = find_adapters(workspace)
    assert unnamed.problems == ("finetui.json is missing: nothing tells what this prefix belongs to",)
    merged = MergedAdapter("/elsewhere/first", "00")
    notes = AdapterNotes(
        "p_tuning", base=str(base), prefix=PrefixFacts(16), chain=(merged,), default_system="Be brief."
    )
    write_notes(folder, notes)
    (adapter,) = resolve_model("demo", workspace).adapters
    assert (adapter.method, adapter.prefix_length, adapter.parameters) == ("p_tuning", 16, 16 * 768)
    assert method_text(adapter) == "p_tuning 16"
    assert trained_pairs(adapter.notes) == [("system prompt", "Be brief."), ("trained over", "/elsewhere/first")]
    assert trained_pairs(None) == []
    assert adapter.notes == notes
    assert check_adapter(adapter, resolve_model("demo", workspace)) == ()
    make_weights(folder / "prefix_encoder.safetensors", {"embedding.weight": [16, 8], "trans.2.weight": [1024, 8]})
    with pytest.raises(AdapterMismatch, match="its prefix is 1024 numbers wide, the model takes 768"):
        check_adapter(resolve_adapter("tuned", workspace), resolve_model("demo", workspace))


def test_a_run_that_trained_a_whole_model_is_a_model(workspace: Workspace) -> None:
    make_model(workspace.runs / "whole")
    assert resolve_model("whole", workspace).path == workspace.runs / "whole"
    assert [model.name for model in list_models(workspace)] == ["runs/whole"]
    assert resolve_model("runs/whole", workspace).path == workspace.runs / "whole"
