"""`finetui export`: what it prints and refuses; the merging itself is a stand-in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import tui.cli.export
from core.models.export import Difference, Exported
from core.models.notes import AdapterNotes, PrefixFacts, write_notes
from core.workspace import Workspace
from folders import make_adapter, make_model, make_weights
from tui.__main__ import main

EXPORTED = Exported(
    path=Path("/w/models/zh-merged"),
    model="demo",
    adapters=("/w/runs/zh", "/w/runs/en"),
    dtype="bfloat16",
    probes=4,
    merging=Difference(9.7e-05, 39.8, 140, 140),
    stored=Difference(0.51, 39.8, 140, 139),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    base = make_model(tmp_path / "models" / "demo")
    make_adapter(tmp_path / "runs" / "zh", str(base))
    return tmp_path


def test_the_proof_is_printed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: dict[str, object] = {}

    def exported(names: list[str], workspace: Workspace, **options: object) -> Exported:
        asked.update(options, names=names)
        return EXPORTED

    monkeypatch.setattr(tui.cli.export, "export_model", exported)
    assert main(["--workspace", str(folder), "export", "zh", "en", "--dtype", "bfloat16", "-o", "x"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "merged zh, en into demo, bfloat16: /w/models/zh-merged",
        "proof on 4 probe prompts, largest difference of logits (they reach 39.8):",
        "  merging, in float32:  9.7e-05; the likeliest token is the same at 140 of 140 places",
        "  as written and read:  0.51; the likeliest token is the same at 139 of 140 places",
    ]
    assert (asked["names"], asked["output"], asked["dtype"]) == (["zh", "en"], Path("x"), "bfloat16")
    assert main(["--workspace", str(folder), "export", "zh", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["kind"], record["stored"]["same_choices"]) == ("export", 139)


def test_what_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--workspace", str(folder), "export", "zh", "--dtype", "int4"]) == 2
    assert "--dtype int4: there is no such format" in capsys.readouterr().err
    assert main(["--workspace", str(folder), "export", "zh", "en", "--adapter-only"]) == 2
    assert "copies one adapter, not 2" in capsys.readouterr().err
    assert main(["--workspace", str(folder), "export", "hz"]) == 2
    assert "no adapter hz" in capsys.readouterr().err


def test_a_prefix_is_copied(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prefix = folder / "runs" / "prefix"
    prefix.mkdir()
    make_weights(prefix / "prefix_encoder.safetensors", {"embedding.weight": [4, 8]})
    write_notes(prefix, AdapterNotes("p_tuning", base="demo", prefix=PrefixFacts(4)))
    assert main(["--workspace", str(folder), "export", "prefix"]) == 2
    assert "cannot be merged: it is no change of weights" in capsys.readouterr().err
    target = folder / "there"
    assert main(["--workspace", str(folder), "export", "prefix", "--adapter-only", "--output", str(target)]) == 0
    assert capsys.readouterr().out == f"copied to {target}\n"
    assert (target / "finetui.json").is_file()
