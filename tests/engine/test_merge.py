"""Merging: the same answers as beside the base, told in numbers; and what cannot be merged."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conversations import HELLO, ask, load, text_of
from safetensors.torch import load_file, save_file
from tuning_base import logits_of, token_ids, train, tunable

from core.config.data import DataOptions
from core.engine.merge import MergeRequest, compare, main, merge, with_system
from core.engine.template import Template
from core.engine.tokenizer import load_tokenizer
from core.errors import ModelError
from core.models.notes import read_notes
from core.serve.protocol import Row
from tiny_models import CHATML, reference_model, train_adapter
from waiting import PATIENCE


def merged(model: Path, *adapters: Path, folder: Path, dtype: str = "auto") -> dict[str, object]:
    folder.mkdir()
    return merge(MergeRequest(str(model), tuple(map(str, adapters)), str(folder), dtype, "cpu"), lambda _stage: None)


@pytest.mark.parametrize("options", [{"use_dora": True}, {"use_rslora": True, "lora_rank": 3}])
def test_a_merged_model_answers_like_base_and_adapter(
    options: dict[str, object], model_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    data = DataOptions(default_system='Be "brief".', source_prefix="Q: ", dataset=("intro",))
    tuned = tunable(model_folder("llama"), data=data, template="vicuna", **options)
    train(tuned, 10)
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    tuned.save(adapter)
    result = merged(model_folder("llama"), adapter, folder=tmp_path / "merged")
    assert result["dtype"] == "float32"
    assert result["adapters"] == [str(adapter)]
    proof = result["merging"]
    assert isinstance(proof, dict)
    assert 0 < proof["difference"] < 1e-4 < proof["size"]
    assert proof["same_choices"] == proof["positions"] > 100
    stored = result["stored"]
    assert isinstance(stored, dict)
    assert stored["difference"] == 0
    ids = token_ids(1, 20)
    torch.testing.assert_close(
        logits_of(reference_model(tmp_path / "merged"), ids), logits_of(tuned.network, ids), rtol=0, atol=1e-4
    )
    beside, alone = load(model_folder("llama")), load(tmp_path / "merged")
    beside.load_adapter("a", adapter)
    assert alone.base.manner.messages(HELLO) == beside.manner("a").messages(HELLO)
    assert alone.manner(None).template.text(alone.manner(None).messages(HELLO)) == (
        beside.manner("a").template.text(beside.manner("a").messages(HELLO))
    )
    notes = read_notes(tmp_path / "merged")
    assert notes is not None
    assert (notes.method, notes.datasets, [one.path for one in notes.chain]) == ("merged", ("intro",), [str(adapter)])
    assert (tmp_path / "merged" / "generation_config.json").is_file()


def test_several_in_their_order_into_half_the_bytes(
    model_folder: Callable[[str], Path], adapter_folder: Callable[..., Path], tmp_path: Path
) -> None:
    first, second = adapter_folder("qwen3"), adapter_folder("qwen3", use_dora=True)
    result = merged(model_folder("qwen3"), first, second, folder=tmp_path / "merged", dtype="bfloat16")
    assert result["adapters"] == [str(first), str(second)]
    assert {one.dtype for one in load_file(tmp_path / "merged" / "model.safetensors").values()} == {torch.bfloat16}
    stored = result["stored"]
    assert isinstance(stored, dict)
    assert 1e-3 < stored["difference"] < stored["size"]
    wanted = tunable(model_folder("qwen3"), adapters=[first, second]).network  # the second lies over the first
    there = logits_of(reference_model(tmp_path / "merged"), token_ids(1, 20))
    assert (there - logits_of(wanted, token_ids(1, 20))).abs().max() < 0.1 * there.abs().max()


def test_what_lies_below_an_adapter_is_merged_first(
    model_folder: Callable[[str], Path], adapter_folder: Callable[..., Path], tmp_path: Path
) -> None:
    top = tunable(model_folder("llama"), adapters=[adapter_folder("llama")], create_new_adapter=True, lora_rank=2)
    train(top, 5)
    (tmp_path / "top").mkdir()
    top.save(tmp_path / "top")
    result = merged(model_folder("llama"), tmp_path / "top", folder=tmp_path / "merged")
    assert result["adapters"] == [str(adapter_folder("llama")), str(tmp_path / "top")]
    ids = token_ids(1, 20)
    there = logits_of(reference_model(tmp_path / "merged"), ids)
    torch.testing.assert_close(there, logits_of(top.network, ids), rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    "options",
    [
        {"additional_target": ("embed_tokens",), "lora_target": ("q_proj",)},
        {"additional_target": ("lm_head",), "lora_target": ("q_proj",)},
        {"lora_target": ("q_proj", "embed_tokens")},
        {"lora_target": ("q_proj", "lm_head")},
    ],
)
def test_a_trained_embedding_of_a_tied_model_is_merged_at_both_ends(
    options: dict[str, object], model_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    tuned = tunable(model_folder("llama"), **options)
    train(tuned, 5)
    (tmp_path / "adapter").mkdir()
    tuned.save(tmp_path / "adapter")
    merged(model_folder("llama"), tmp_path / "adapter", folder=tmp_path / "merged")
    config = json.loads((tmp_path / "merged" / "config.json").read_text())
    has_head = "lm_head.weight" in load_file(tmp_path / "merged" / "model.safetensors")
    assert config["tie_word_embeddings"] is not has_head
    if "additional_target" in options:
        assert not has_head  # still one matrix
    ids = token_ids(1, 20)
    there = logits_of(reference_model(tmp_path / "merged"), ids)
    torch.testing.assert_close(there, logits_of(tuned.network, ids), rtol=0, atol=1e-4)


def test_numbers_that_are_none_are_not_merged(model_folder: Callable[[str], Path], tmp_path: Path) -> None:
    adapter = train_adapter(model_folder("llama"), tmp_path / "adapter", steps=1)
    tensors = load_file(adapter / "adapter_model.safetensors")
    name = next(name for name in tensors if "lora_B" in name)
    tensors[name][0, 0] = float("nan")
    save_file(tensors, adapter / "adapter_model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match="cannot be merged: NaNs detected"):
        merged(model_folder("llama"), adapter, folder=tmp_path / "merged")
    assert list((tmp_path / "merged").iterdir()) == []


def test_a_quantised_base_is_refused(
    model_folder: Callable[[str], Path], adapter_folder: Callable[..., Path], tmp_path: Path
) -> None:
    base = tmp_path / "base"
    reference_model(model_folder("llama")).save_pretrained(base)
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps({**config, "quantization_config": {"quant_method": "bitsandbytes"}}))
    with pytest.raises(ModelError, match="holds quantised weights"):
        merged(base, adapter_folder("llama"), folder=tmp_path / "merged")


def test_how_far_logits_lie_apart() -> None:
    one, other = torch.tensor([[0.0, 2.0, -4.0], [1.0, 0.5, 0.0]]), torch.tensor([[0.0, 2.5, -4.0], [1.0, 1.25, 0.0]])
    proof = compare([one, one[:1]], [other, one[:1]])
    assert (proof.difference, proof.size, proof.positions, proof.same_choices) == (0.75, 4.0, 3, 2)


def test_the_system_prompt_goes_into_the_template(model_folder: Callable[[str], Path]) -> None:
    system = 'Say "爱" — and\na second line {{ x }}'
    template = Template("tokenizer", with_system(CHATML, system), load_tokenizer(model_folder("llama")))
    assert template.text(HELLO).startswith(f"<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\nHello")
    assert template.injected_system == system
    assert with_system(CHATML, "") == CHATML


def test_the_process_tells_stages_and_errors_as_lines_of_json(
    model_folder: Callable[[str], Path],
    adapter_folder: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    request = {"model": str(model_folder("llama")), "adapters": [str(adapter_folder("llama"))], "device": "cpu"}
    (tmp_path / "merged").mkdir()
    (tmp_path / "request.json").write_text(json.dumps({**request, "folder": str(tmp_path / "merged")}))
    assert main(tmp_path / "request.json") == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    stages = ["loading tiny-llama", "merging adapter", "writing", "comparing what was written"]
    assert [record.get("stage") for record in records] == [*stages, None]
    assert records[-1]["result"]["probes"] == 4
    (tmp_path / "request.json").write_text(json.dumps({**request, "folder": "x", "adapters": [str(tmp_path)]}))
    assert main(tmp_path / "request.json") == 1
    record = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert record["error"]["message"].startswith(f"{tmp_path} is no adapter")


def test_the_command_from_run_to_model(
    model_folder: Callable[[str], Path], adapter_folder: Callable[..., Path], tmp_path: Path
) -> None:
    """The real child, once."""
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "zh").symlink_to(adapter_folder("llama"))
    words = [sys.executable, "-P", "-m", "tui", "--workspace", str(tmp_path), "export", "zh", "--json"]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert ended.returncode == 0, ended.stderr
    record = json.loads(ended.stdout)
    assert record["path"] == str(tmp_path / "models" / "zh-merged")
    assert record["merging"]["difference"] < 1e-4
    assert text_of(ask(load(tmp_path / "models" / "zh-merged"), Row(HELLO)))
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["zh-merged"]
