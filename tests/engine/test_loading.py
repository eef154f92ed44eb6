"""What may be loaded, and what is said about the rest."""

from __future__ import annotations

import json
import shutil
import sys
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conversations import HELLO, ask, finished, load, text_of
from safetensors.torch import load_file, save_file

from core.engine.load import model_name
from core.engine.worker import Worker, give_memory_back
from core.errors import AdapterMismatch, ModelError, UsageError
from core.serve.protocol import Load, LoadAdapter, Loaded, Reply, Row, Unload


def test_an_adapter_of_another_base_is_refused_naming_both(
    model_folder: Callable[[str], Path], adapter_folder: Callable[..., Path], tmp_path: Path
) -> None:
    model = load(model_folder("llama"))
    with pytest.raises(AdapterMismatch) as caught:
        model.load_adapter("a", adapter_folder("gemma3"))  # more layers
    assert "does not fit tiny-llama: it was trained on " in caught.value.message
    assert "tiny-gemma3" in caught.value.message
    wide = tmp_path / "wide"
    shutil.copytree(adapter_folder("llama"), wide)
    tensors = load_file(wide / "adapter_model.safetensors")
    save_file(
        {k: torch.zeros(v.shape[0], 64) if "lora_A" in k else v for k, v in tensors.items()},
        wide / "adapter_model.safetensors",
    )
    with pytest.raises(AdapterMismatch, match=r"×80 here and .*×64 there"):
        model.load_adapter("a", wide)
    assert model.adapter_names == ()


def test_peft_never_gets_to_load_half_of_an_adapter(
    model_folder: Callable[[str], Path], adapter_folder: Callable[..., Path], tmp_path: Path
) -> None:
    model = load(model_folder("olmo2"))  # served by transformers' own forward
    before = text_of(ask(model, Row(HELLO)))
    with pytest.raises(AdapterMismatch, match=r"the model has no model.layers.2"):
        model.load_adapter("a", adapter_folder("gemma3"))
    torn = tmp_path / "torn"  # what only PEFT notices
    shutil.copytree(adapter_folder("olmo2"), torn)
    tensors = load_file(torn / "adapter_model.safetensors")
    save_file({k: v[:2] if "lora_A" in k else v for k, v in tensors.items()}, torn / "adapter_model.safetensors")
    with pytest.raises(AdapterMismatch, match="does not fit tiny-olmo2"):
        model.load_adapter("a", torn)
    assert text_of(ask(model, Row(HELLO))) == before
    model.load_adapter("good", adapter_folder("olmo2"))
    with pytest.raises(AdapterMismatch):
        model.load_adapter("a", torn)
    assert text_of(ask(model, Row(HELLO))) == before
    assert model.adapter_names == ("good",)
    model.unload_adapter("good")
    assert text_of(ask(model, Row(HELLO))) == before


def test_an_adapter_that_fits_but_names_another_base_is_loaded_with_a_warning(
    model_folder: Callable[[str], Path], adapter_folder: Callable[..., Path], tmp_path: Path
) -> None:
    renamed = tmp_path / "renamed"
    shutil.copytree(adapter_folder("llama"), renamed)
    config = json.loads((renamed / "adapter_config.json").read_text())
    (renamed / "adapter_config.json").write_text(json.dumps({**config, "base_model_name_or_path": "org/Other"}))
    model = load(model_folder("llama"))
    assert model.load_adapter("b", adapter_folder("llama")).warnings == ()
    assert model.load_adapter("a", renamed).warnings == (
        "the adapter was trained on org/Other, the loaded model is tiny-llama",
    )


def test_a_model_in_the_hubs_cache_goes_by_its_own_name() -> None:
    assert model_name(Path("/x/hub/models--Qwen--Qwen3-0.6B/snapshots/0123abc")) == "Qwen/Qwen3-0.6B"
    assert model_name(Path("/x/models/mine")) == "mine"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"peft_type": "PROMPT_TUNING"}, "holds virtual tokens of a kind that is not supported"),
        ({"peft_type": "PREFIX_TUNING"}, "holds no adapter_model.safetensors"),
        ({"peft_type": "LORA"}, "holds no adapter_model.safetensors"),
        (None, "is no adapter"),
    ],
)
def test_folders_that_are_no_usable_adapter(
    config: dict[str, str] | None, message: str, model_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    if config is not None:
        (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=message):
        load(model_folder("llama")).load_adapter("a", tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"init_lora_weights": "pissa"}, "was begun by pissa, which changes the base weights"),
        ({"init_lora_weights": "olora"}, "was begun by olora, which changes the base weights"),
        ({"layer_replication": [[0, 2], [0, 2]]}, "repeats layers of its base"),
    ],
)
def test_adapters_that_need_another_base_are_refused_instead_of_answering_wrongly(
    options: dict[str, object],
    message: str,
    model_folder: Callable[[str], Path],
    adapter_folder: Callable[..., Path],
    tmp_path: Path,
) -> None:
    changed = tmp_path / "changed"
    shutil.copytree(adapter_folder("llama"), changed)
    config = json.loads((changed / "adapter_config.json").read_text())
    (changed / "adapter_config.json").write_text(json.dumps({**config, **options}))
    model = load(model_folder("llama"))
    with pytest.raises(ModelError, match=message):
        model.load_adapter("a", changed)
    assert model.adapter_names == ()


@pytest.mark.parametrize("options", [{}, {"bias": "all"}])  # the fast forward's and PEFT's
def test_a_torn_adapter_is_named(
    options: dict[str, object],
    model_folder: Callable[[str], Path],
    adapter_folder: Callable[..., Path],
    tmp_path: Path,
) -> None:
    torn = tmp_path / "torn"
    shutil.copytree(adapter_folder("llama"), torn)
    config = json.loads((torn / "adapter_config.json").read_text())
    (torn / "adapter_config.json").write_text(json.dumps({**config, **options}))
    (torn / "adapter_model.safetensors").write_bytes(b"torn")
    with pytest.raises(ModelError, match=r"torn/adapter_model.safetensors cannot be read"):
        load(model_folder("llama")).load_adapter("a", torn)


def test_an_unknown_adapter_is_named_with_the_nearest(
    model_folder: Callable[[str], Path], adapter_folder: Callable[..., Path]
) -> None:
    model = load(model_folder("llama"))
    model.load_adapter("support", adapter_folder("llama"))
    with pytest.raises(UsageError) as caught:
        ask(model, Row(HELLO, "suport"))
    assert str(caught.value) == "no adapter 'suport' is loaded: did you mean 'support'?"


def test_risks_are_refused_unless_a_flag_takes_them(model_folder: Callable[[str], Path], tmp_path: Path) -> None:
    own_code = tmp_path / "own-code"
    shutil.copytree(model_folder("llama"), own_code)
    config = json.loads((own_code / "config.json").read_text())
    changed = {**config, "model_type": "home_made", "auto_map": {"AutoConfig": "code.Config"}}
    (own_code / "config.json").write_text(json.dumps(changed))
    with pytest.raises(ModelError) as caught:
        load(own_code)
    assert "Python code of its own" in caught.value.message
    assert caught.value.hint.startswith("--trust_remote_code runs it with all your rights")
    pickled = tmp_path / "pickled"
    shutil.copytree(model_folder("llama"), pickled)
    tensors = load_file(pickled / "model.safetensors")
    (pickled / "model.safetensors").unlink()
    torch.save(tensors, pickled / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"pickles \(pytorch_model.bin\)"):
        load(pickled)
    loaded = load(pickled, allow_pickle=True)
    assert text_of(ask(loaded, Row(HELLO))) == text_of(ask(load(model_folder("llama")), Row(HELLO)))


def test_missing_weights_are_an_error_and_spare_ones_a_warning(
    model_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = tmp_path / "changed"
    shutil.copytree(model_folder("llama"), folder)
    tensors = load_file(folder / "model.safetensors")
    save_file({**tensors, "model.extra": torch.zeros(1)}, folder / "model.safetensors", {"format": "pt"})
    assert load(folder).base.warnings == ("1 weight is not used: model.extra",)
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=r"changed: 1 weight is missing: model.layers.1.mlp.up_proj.weight"):
        load(folder)
    (folder / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(ModelError):
        load(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="holds no weights"):
        load(folder)


def test_dtype_and_device(model_folder: Callable[[str], Path]) -> None:
    assert load(model_folder("llama"), device="cpu").base.dtype == "float32"
    half = load(model_folder("llama"), dtype="bfloat16", device="cpu")
    assert half.base.dtype == "bfloat16"
    assert half.base.fused is not None
    assert finished(ask(half, Row(HELLO), Row(HELLO))).usage.answer_tokens > 0
    with pytest.raises(UsageError, match="there is no kind of device 'gpu'"):
        load(model_folder("llama"), device="gpu")
    if not torch.cuda.is_available():
        with pytest.raises(UsageError, match="has no device 'rocm'"):
            load(model_folder("llama"), device="rocm")


def test_unloading_gives_the_memory_back(model_folder: Callable[[str], Path]) -> None:
    replies: list[Reply] = []
    worker = Worker(replies.append, lambda _: False)
    worker.handle(Load(1, str(model_folder("llama")), threads=1))
    assert isinstance(replies[-1], Loaded)
    assert worker._model is not None
    network = weakref.ref(worker._model.base.network)
    weight = weakref.ref(worker._model.base.fused.layers[0].qkv.weight)  # type: ignore[union-attr]
    worker.handle(Unload(2))
    assert network() is None
    assert weight() is None
    assert worker.condition.state == "empty"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc, trims glibc's heap")
def test_memory_that_was_freed_in_pieces_is_given_back() -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    blocks = [b"x" * 100_000 for _ in range(2000)]
    last = blocks[-1]  # holds the end of the heap
    before = resident()
    del blocks
    give_memory_back()
    assert len(last) == 100_000
    assert resident() < before - 100_000_000


def test_a_failed_adapter_is_not_called_loaded(
    model_folder: Callable[[str], Path], adapter_folder: Callable[..., Path]
) -> None:
    replies: list[Reply] = []
    worker = Worker(replies.append, lambda _: False)
    worker.handle(Load(1, str(model_folder("llama")), threads=1))
    worker.handle(LoadAdapter(2, "a", str(adapter_folder("llama"))))
    assert worker.condition.adapters == ("a",)
    with pytest.raises(AdapterMismatch):
        worker.handle(LoadAdapter(3, "a", str(adapter_folder("gemma3"))))
    assert worker.condition.adapters == ()
