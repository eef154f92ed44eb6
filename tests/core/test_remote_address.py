"""A server's address and name, the way to it, and the key, which is in one header and nowhere else."""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from core.chat.message import Message
from core.config.load import load
from core.config.remote import RemoteOptions
from core.errors import ConfigError, ServerError
from core.serve.protocol import Sampling
from core.serve.remembered import asked_server, known_server, remember_evaluated, remember_server, remembered_servers
from core.serve.remote import RemoteQuestion, RemoteReply, ask_all, resolved, served_models
from core.serve.remote_address import Server, is_served, parse_name, relay_command, server_of, shown_name
from core.workspace import Workspace
from served import ServedFake, Turn

KEY = "sk-secret-0123456789"
QUESTION = RemoteQuestion(1, (Message("user", "hi"),), Sampling())


# --- addresses and names ----------------------------------------------------------------------------------------


def test_options_become_a_server() -> None:
    words = ["--api_base", "https://api.example.com/v1/", "--api_model", "m", "--api_concurrency", "3"]
    more = ["--api_key_variable", "MY_KEY", "--api_timeout", "7", "--api_retries", "1"]
    options = load([RemoteOptions], arguments=[*words, *more])[RemoteOptions]
    assert server_of(options) == Server("https://api.example.com/v1", "m", "MY_KEY", 3, 7.0, 1)
    assert server_of(RemoteOptions()) is None


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("127.0.0.1:8000/v1", "begins with neither http:// nor https://"),
        ("file:///etc/passwd", "begins with neither http:// nor https://"),
        ("http:///v1", "names no host"),
        ("http://host:99999/v1", "Port out of range 0-65535"),
        ("http://user:secret@host/v1", "holds a name or a password"),
        ("http://host/v1?key=secret", "has a part behind ? or #"),
        ("http://host/v1\r\nX-Evil: 1", "holds blanks or letters that no address has"),
        ("http://hóst/v1", "holds blanks or letters that no address has"),
    ],
)
def test_an_address_that_cannot_be_asked_is_refused_where_it_is_typed(address: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load([RemoteOptions], arguments=["--api_base", address])
    assert problem in str(caught.value)
    with pytest.raises(ServerError, match="the address") as told:
        parse_name(address.partition("#")[0] + "#m")
    assert "secret@" not in str(told.value)


def test_a_served_model_has_one_word_and_a_name_for_people() -> None:
    server = parse_name("http://127.0.0.1:8000/v1/ org/model:8b")
    assert server == parse_name("http://127.0.0.1:8000/v1#org/model:8b")
    assert server.name == "http://127.0.0.1:8000/v1#org/model:8b"
    assert server.label == shown_name(server.name) == "org/model:8b @ 127.0.0.1:8000"
    assert is_served(server.name)
    assert not is_served("models/http")
    assert shown_name("smollm2") == "smollm2"
    assert shown_name("http://:x/v1#m") == "http://:x/v1#m"


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1:80", True), ("localhost", True), ("[::1]:8", True), ("127.evil.com", False), ("10.0.0.1", False)],
)
def test_this_machine_is_known(host: str, loopback: bool) -> None:
    assert Server(f"http://{host}/v1").loopback is loopback


def test_only_servers_that_were_asked_here_are_known(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    stranger = "http://evil.example/v1#m"
    with pytest.raises(ServerError, match=r"m @ evil.example is no served model of this workspace") as caught:
        known_server(stranger, workspace)
    assert caught.value.hint == f"/model {stranger} makes it one"
    remember_server(workspace, Server("http://one/v1", "a", "KEY_ONE"))
    remember_server(workspace, Server("http://two/v1", "b"))
    assert list(remembered_servers(workspace)) == ["http://one/v1#a", "http://two/v1#b"]
    assert known_server("http://one/v1 a", workspace).key_variable == "KEY_ONE"
    assert known_server("http://one/v1#another", workspace) == Server("http://one/v1", "another", "KEY_ONE")
    with pytest.raises(ServerError, match="no served model"):
        known_server("http://one.evil/v1#a", workspace)
    assert asked_server("http://one/v1 new", workspace) == Server("http://one/v1", "new", "KEY_ONE")
    assert asked_server("http://three/v1", workspace) == Server("http://three/v1")


def test_the_server_of_an_evaluation_can_be_asked_again(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    nobody = load([RemoteOptions]).values()
    remember_evaluated(workspace, nobody)
    assert not workspace.state_file.exists()
    remember_evaluated(workspace, {**nobody, "api_base": "http://one/v1/", "api_key_variable": "KEY_ONE"})
    assert known_server("http://one/v1#m", workspace) == Server("http://one/v1", "m", "KEY_ONE")


def test_a_hand_edited_memory_is_no_obstacle(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.make_state_folder()
    kept = {"nonsense": "X", "http://one/v1#a": 7, "http://u:p@two/v1#b": "X"}
    workspace.state_file.write_text(json.dumps({"schema": 1, "served": kept}))
    assert remembered_servers(workspace) == {"http://one/v1#a": Server("http://one/v1", "a")}


# --- the key ----------------------------------------------------------------------------------------------------


def test_the_key_is_read_when_it_is_needed_and_is_in_no_record_of_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", f"  {KEY}\n")
    server = Server("http://host/v1", "m", "MY_KEY")
    assert server.key() == KEY
    shown = [repr(server), str(dataclasses.asdict(server)), *relay_command(server)]
    assert not [text for text in shown if KEY in text]
    monkeypatch.delenv("MY_KEY")
    assert server.key() == ""


def test_a_server_that_repeats_the_key_does_not_get_it_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    echo = json.dumps({"error": {"message": f"bad key {KEY}"}}).encode()
    for turn in (Turn(status=400, body=echo), Turn(body=b"data: " + echo + b"\n\n"), Turn(body=KEY.encode())):
        got: list[RemoteReply] = []
        with ServedFake(always=turn, key=KEY) as fake:
            ask_all(Server(fake.api_base, "echo", retries=0), [QUESTION], on_reply=got.append)
            assert fake.requests[0]["headers"]["Authorization"] == f"Bearer {KEY}"
        assert got[0].error
        assert KEY not in got[0].error


@pytest.mark.parametrize(("key", "hint"), [("", "it wants a key: put it"), ("sk-wrong-key", "is refused")])
def test_a_wrong_key_is_named_by_its_variable(monkeypatch: pytest.MonkeyPatch, key: str, hint: str) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with ServedFake(key=KEY) as fake, pytest.raises(ServerError, match="status 401") as caught:
        resolved(Server(fake.api_base, "echo"))
    assert hint in caught.value.hint
    assert "OPENAI_API_KEY" in caught.value.hint
    assert "sk-wrong-key" not in str(caught.value)


@pytest.mark.parametrize("key", ["two words", "line\nbreak", "schlüssel", "esc\x1b"])
def test_a_key_that_no_header_takes_is_told_without_it(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with ServedFake() as fake, pytest.raises(ServerError, match="the key in OPENAI_API_KEY holds") as caught:
        served_models(Server(fake.api_base))
    assert key not in str(caught.value)
    assert caught.value.for_all


def test_a_redirection_is_told_and_the_key_stays_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with ServedFake() as other:
        moved = Turn(status=307, headers={"Location": f"{other.api_base}/chat/completions"})
        with ServedFake(always=moved) as fake, pytest.raises(ServerError, match="status 307") as caught:
            ask_all(Server(fake.api_base, "echo"), [QUESTION], on_reply=print)
        assert other.api_base in caught.value.hint
        assert other.requests == []


# --- the way there ----------------------------------------------------------------------------------------------


@contextmanager
def proxy(seen: list[dict[str, Any]]) -> Iterator[str]:
    """Something that takes requests for any host, and answers as a server would."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_words: object) -> None:
            pass

        def do_GET(self) -> None:
            seen.append({"target": self.path, **{name.lower(): value for name, value in self.headers.items()}})
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"data": [{"id": "far"}]}')

        def do_CONNECT(self) -> None:
            seen.append({"target": self.path, **{name.lower(): value for name, value in self.headers.items()}})
            self.send_error(403)

    with HTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        yield f"127.0.0.1:{http.server_address[1]}"
        http.shutdown()
        thread.join()


def test_a_proxy_of_the_environment_is_asked_for_far_hosts_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    seen: list[dict[str, Any]] = []
    with proxy(seen) as place, ServedFake() as fake:
        monkeypatch.setenv("http_proxy", f"http://me:pass@{place}")
        monkeypatch.setenv("https_proxy", f"http://{place}")
        monkeypatch.setenv("no_proxy", "")
        assert [model.name for model in served_models(Server("http://far.example:81/v1"))] == ["far"]
        assert [model.name for model in served_models(Server(fake.api_base))] == ["echo"], "this machine needs none"
        with pytest.raises(ServerError, match="cannot be reached: Tunnel connection failed: 403"):
            served_models(Server("https://far.example/v1"))
    plain, tunnel = seen
    assert (plain["target"], plain["host"]) == ("http://far.example:81/v1/models", "far.example:81")
    assert plain["proxy-authorization"] == "Basic bWU6cGFzcw=="
    assert tunnel["target"] == "far.example:443"
    assert "authorization" not in tunnel, "the key is for the server, not for the proxy"


def test_a_proxy_that_cannot_be_used_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("all_proxy", "socks5://127.0.0.1:1080")
    with pytest.raises(ServerError, match="SOCKS"):
        served_models(Server("http://far.example/v1"))


def test_https_to_a_server_without_it_is_told() -> None:
    with ServedFake() as fake, pytest.raises(ServerError, match="cannot be reached"):
        served_models(Server(fake.api_base.replace("http:", "https:")))
