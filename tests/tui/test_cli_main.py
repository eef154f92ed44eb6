"""The command's frame: verbs, help, versions, exit codes, and what is imported on the way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from core.config.fields import describe
from core.errors import ConfigError, FinetuiError, Problem, WorkspaceError
from tui.__main__ import main
from tui.cli import reference, verbs
from tui.cli.chat import chat
from tui.cli.console import InertStream, Progress, print_error, print_json, styled
from tui.cli.options import facts, help_groups

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINETUI_WORKSPACE", str(tmp_path))


def test_the_version_is_that_of_the_distribution(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("finetui 0.")


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["--help", "chat"]])
def test_the_help_names_every_verb_with_its_line(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    assert main(words) == 0
    out = capsys.readouterr().out
    for name, verb in verbs.VERBS.items():
        (line,) = [line for line in out.splitlines() if line.startswith(f"  {name} ")]
        assert verb.help in line
    assert "--workspace DIR" in out


@pytest.mark.parametrize("name", verbs.VERBS)
def test_every_verb_is_there_and_has_help(capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert main([name, "--help"]) == 0
    assert f"Usage: finetui {name}" in capsys.readouterr().out


def test_the_help_of_chat_has_a_row_for_each_option_in_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    main(["chat", "--help"])
    out = capsys.readouterr().out
    assert [spec.name for spec in describe(*chat.sections) if f"    --{spec.name}" not in out] == []
    assert max(map(len, out.splitlines())) <= 80
    assert "[from 0 to 5; default: 0]" in " ".join(out.split())


def test_facts_stand_behind_the_help() -> None:
    told = {spec.name: facts(spec) for spec in describe(*chat.sections)}
    assert told["dtype"] == "[auto, float32, bfloat16, float16; default: auto]"
    assert told["top_p"] == "[above 0, up to 1; default: 0.9]"
    assert told["mode"] == "[single, multi]"
    assert told["trust_remote_code"] == ""
    assert [group.splitlines()[1] for group in help_groups(describe(*chat.sections))] == [
        "Model:",
        "Served model:",
        "Generation:",
        "Conversation:",
        "Options from files:",
    ]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["caht"], ["error: there is no verb 'caht'", "hint: did you mean 'chat'?"]),
        (["xyz"], ["error: there is no verb 'xyz'", f"hint: there are: {', '.join(verbs.VERBS)}"]),
        (["--bogus"], ["error: No such option: --bogus", "hint: see: finetui --help"]),
        (["chat", "--workspace"], ["error: --workspace: a folder is missing", "hint: write --workspace DIR"]),
        (
            ["chat", "--top_k", "x", "--seeed", "1"],
            [
                "error: --seeed: is no option",
                "hint: did you mean 'seed'?",
                "error: --top_k: expected a whole number from 0 up, not 'x'",
            ],
        ),
    ],
)
def test_mistakes_end_with_2_and_say_what_to_do(
    capsys: pytest.CaptureFixture[str], words: list[str], told: list[str]
) -> None:
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == told


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> list[Path | None]:
    """An app in the real one's place; the workspaces that it was run with."""
    runs: list[Path | None] = []
    module = ModuleType("tui.app")
    module.run = lambda workspace: runs.append(workspace) or 7  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tui.app", module)
    return runs


def test_without_a_verb_the_app_runs_in_the_workspace_that_is_named(app: list[Path | None]) -> None:
    assert main([]) == 7
    assert main(["--workspace", "/some/where"]) == 7
    assert main(["--workspace=here"]) == 7
    assert app == [None, Path("/some/where"), Path("here")]


@pytest.mark.parametrize("words", [["--workspace", "/x y", "--version"], ["--version", "--workspace=/x y"]])
def test_a_workspace_may_be_named_before_and_after_the_verb(words: list[str]) -> None:
    assert main(words) == 0
    assert os.environ["FINETUI_WORKSPACE"] == "/x y"


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (WorkspaceError("x\x1b[31m is no folder", "make it"), 2, "error: x␛[31m is no folder\nhint: make it\n"),
        (KeyboardInterrupt(), 130, ""),
        (BrokenPipeError(), 1, ""),
    ],
)
def test_what_ends_the_app_is_told_without_a_traceback(
    app: list[Path | None], capfd: pytest.CaptureFixture[str], error: BaseException, code: int, told: str
) -> None:
    def fail(_workspace: Path | None) -> int:
        raise error

    sys.modules["tui.app"].run = fail  # type: ignore[attr-defined]
    assert main([]) == code
    assert capfd.readouterr() == ("", told)


def test_a_defect_of_ours_keeps_its_traceback(app: list[Path | None]) -> None:
    def fail(_workspace: Path | None) -> int:
        raise ZeroDivisionError

    sys.modules["tui.app"].run = fail  # type: ignore[attr-defined]
    with pytest.raises(ZeroDivisionError):
        main([])


# --- what is imported -------------------------------------------------------------------------------------------

_HEAVY = ("torch", "transformers", "peft", "numpy", "textual", "rich", "asyncio", "yaml")


@pytest.mark.parametrize(
    ("words", "absent"),
    [
        (["--version"], (*_HEAVY, "pydantic")),
        (["--help"], (*_HEAVY, "pydantic")),
        (["caht"], (*_HEAVY, "pydantic")),
        (["models", "--help"], ("torch", "transformers", "numpy", "textual", "pydantic")),
        (["chat", "--help"], _HEAVY),
    ],
)
def test_help_imports_nothing_that_it_does_not_need(words: list[str], absent: tuple[str, ...]) -> None:
    code = f"""
import contextlib, io, json, sys
from tui.__main__ import main
with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    main({words!r})
print(json.dumps(sorted(set({absent!r}) & set(sys.modules))))
"""
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


def test_the_way_to_the_app_goes_past_typer_and_pydantic() -> None:
    code = """
import sys, types
sys.modules["tui.app"] = types.ModuleType("tui.app")
sys.modules["tui.app"].run = lambda workspace: 0
from tui.__main__ import main
main([])
print(sorted({"typer", "pydantic", "rich", "yaml"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# --- what is printed --------------------------------------------------------------------------------------------


def test_several_problems_are_several_errors(capsys: pytest.CaptureFixture[str]) -> None:
    print_error(ConfigError([Problem("--a", "wrong", "do this"), Problem("", "also wrong")]))
    print_error(FinetuiError("[red]not markup[/]"))
    assert capsys.readouterr().err.splitlines() == [
        "error: --a: wrong",
        "hint: do this",
        "error: also wrong",
        "error: [red]not markup[/]",
    ]


def test_streamed_text_is_inert_wherever_it_is_torn() -> None:
    text = "a\r\nb\rc\x1b]52;c;eA==\x07\ud800[b]\r\n你好\r"
    expected = "a\nb␍c␛]52;c;eA==␇\ufffd[b]\n你好␍"
    for first in range(len(text) + 1):
        for second in range(first, len(text) + 1):
            stream = InertStream()
            parts = text[:first], text[first:second], text[second:]
            assert "".join(map(stream.feed, parts)) + stream.end() == expected


def test_json_for_machines_is_one_line_that_moves_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    records = [{"content": "你好"}, {"content": "\x1b[31m\x7f\x9b\u202e\ud800\n"}]
    for record in records:
        print_json(record)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == '{"content": "你好"}'
    assert all(32 <= ord(character) < 127 for character in lines[1])
    assert list(map(json.loads, lines)) == records


@pytest.mark.parametrize(
    ("term", "no_color", "tty", "text"),
    [
        ("xterm", "", True, "\x1b[1mx\x1b[0m"),
        ("xterm", "1", True, "x"),
        ("dumb", "", True, "x"),
        ("xterm", "", False, "x"),
    ],
)
def test_bold_is_for_terminals_that_want_it(
    monkeypatch: pytest.MonkeyPatch, term: str, no_color: str, tty: bool, text: str
) -> None:
    monkeypatch.setenv("TERM", term)
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: tty, raising=False)
    assert styled("x", "1", sys.stdout) == text


def test_without_a_terminal_each_step_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress()
    for share in ("", "10%", "20%"):
        progress.show("loading…", share)
        progress.tick()
    progress.show("almost\x1b[2J…")
    progress.clear()
    assert capsys.readouterr().err == "loading…\nalmost␛[2J…\n"


def test_the_reference_page_is_that_of_the_declarations() -> None:
    page = (ROOT / reference.PATH).read_text(encoding="utf-8")
    assert page == reference.reference(), f"renew it with: {reference.RENEW}"
