"""The measuring clients against servers that behave and servers that do not; no test looks at a time."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from homeroom.bench import listeners, load
from homeroom.bench.codes import PLACEHOLDER, Teacher
from homeroom.bench.exchange import parse, request
from homeroom.bench.frames import Frames, Opcode, client_frame
from homeroom.bench.outcome import Outcome, neat, percentile
from homeroom.bench.processes import BenchFailed, Running, hello, run_client, serving

Pretend = Callable[..., AbstractContextManager[Running]]
BODY = b'{"session_id":"n1","proof":{"code":"' + PLACEHOLDER + b'"}}'


@pytest.fixture
def pretend(tmp_path: Path) -> Pretend:
    script = Path(__file__).with_name("pretended.py")

    @contextmanager
    def server(wrong: str = "") -> Iterator[Running]:
        def command(port: int) -> list[str]:
            return [sys.executable, "-m", "hypercorn", "--workers", "0", "--bind", f"127.0.0.1:{port}", f"{script}:app"]

        with serving(command, tmp_path, {"PRETEND": wrong}) as running:
            yield running

    return server


def check_ins(port: int, count: int) -> load.Plan:
    raw = request("POST", "/api/v1/attendance/checkin", token="t", body=BODY).decode()
    each = load.Round(
        name="real", port=port, connections=4, requests=[raw] * count, expected=201, code_of=["n1"] * count
    )
    return load.Plan(rounds=[each], codes_from=port, teachers=[Teacher(session_id="n1", token="t")])


def board(port: int, posts: int, sockets: int = 5) -> listeners.Plan:
    def side(name: str, path: str, post: str, *, greets: bool) -> listeners.Side:
        raw = request("POST", post, token="t", body=BODY).decode()
        return listeners.Side(
            name=name, port=port, path=path, tokens=["t"] * sockets, greets=greets, posts=[raw] * posts
        )

    return listeners.Plan(
        real=side("real", "/ws/class/c1", "/api/v1/attendance/checkin", greets=True),
        bare=side("bare", "/bare", "/bare", greets=False),
        teacher=Teacher(session_id="n1", token="t"),
        block=2,
        patience=1.0,
    )


def test_every_request_is_sent_once_with_the_code_that_is_shown(pretend: Pretend) -> None:
    with pretend() as server:
        said: list[dict[str, Any]] = []
        (taken,) = run_client(load.__name__, check_ins(server.port, 50), said.append)
    assert sorted(taken["good"]) == list(range(50))
    assert (taken["errors"], len(taken["ms"])) == (0, 50)
    assert said == [{"done": "real"}]


def test_refused_requests_are_errors_and_are_shown(pretend: Pretend) -> None:
    with pretend("refuses") as server:
        (taken,) = run_client(load.__name__, check_ins(server.port, 50))
    assert (taken["errors"], len(taken["good"])) == (10, 40)
    assert "422" in taken["examples"][0]
    assert "10 times" in taken["examples"][0]


def test_without_a_code_the_client_says_why_it_gives_up(pretend: Pretend) -> None:
    with pretend("no-code") as server, pytest.raises(BenchFailed, match="challenge of a session was answered 403"):
        run_client(load.__name__, check_ins(server.port, 5))


def test_requests_to_a_server_that_dies_are_errors_and_the_bench_says_that_it_died(pretend: Pretend) -> None:
    taken: list[dict[str, Any]] = []

    def measure() -> None:
        with pretend("dies") as server:
            taken.extend(run_client(load.__name__, check_ins(server.port, 50)))

    with pytest.raises(BenchFailed, match="ended in mid-run"):
        measure()
    assert len(taken[0]["good"]) == 50 - taken[0]["errors"] < 10


def test_a_server_that_was_never_there_is_told(pretend: Pretend) -> None:
    with pretend() as server:
        plan = check_ins(server.port, 5)
    with pytest.raises(BenchFailed, match="Connect call failed"):
        run_client(load.__name__, plan)


def test_a_server_that_cannot_start_is_told_with_its_own_words(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit('no room at the inn')"]
    with pytest.raises(BenchFailed, match="no room at the inn"), serving(lambda _port: command, tmp_path):
        pass


def test_nothing_of_a_server_is_left_running(pretend: Pretend) -> None:
    with pretend() as server:
        assert psutil.pid_exists(server.pid)
        assert server.memory_mib() > 1
    assert not psutil.pid_exists(server.pid)


@pytest.mark.parametrize(("wrong", "lost", "doubled"), [("", 0, 0), ("lost", 1, 0), ("doubled", 0, 1)])
def test_every_socket_must_hear_every_check_in_once(pretend: Pretend, wrong: str, lost: int, doubled: int) -> None:
    with pretend(wrong) as server, serving(hello, Path.cwd()) as bare:
        plan = board(server.port, 6)
        real, base = run_client(listeners.__name__, _with_bare(plan, bare.port))
    assert (real["lost"], real["doubled"], real["errors"]) == (lost, doubled, 0)
    assert (base["lost"], base["doubled"], base["errors"]) == (0, 0, 0)
    assert len(base["from_stamp_ms"]) == 4  # the first block warms up
    assert real["bytes"] == base["bytes"] > 50


def _with_bare(plan: listeners.Plan, port: int) -> listeners.Plan:
    bare = listeners.Side(
        name="bare", port=port, path="/bare", tokens=plan.bare.tokens, greets=False, posts=plan.bare.posts
    )
    return listeners.Plan(real=plan.real, bare=bare, teacher=plan.teacher, block=plan.block, patience=plan.patience)


def test_a_board_that_is_refused_is_told_with_its_close_code(pretend: Pretend) -> None:
    with pretend("closes") as server, pytest.raises(BenchFailed, match="closed with 4403"):
        run_client(listeners.__name__, board(server.port, 4))


def test_frames_are_found_however_the_stream_is_cut() -> None:
    texts = [b"x" * size for size in (0, 125, 126, 70_000)]
    heads = [b"\x81\x00", b"\x81\x7d", b"\x81\x7e\x00\x7e", b"\x81\x7f" + (70_000).to_bytes(8, "big")]
    stream = b"".join(head + text for head, text in zip(heads, texts, strict=True))
    for step in (1, 7, 1000, len(stream)):
        frames = Frames()
        found = [frame for at in range(0, len(stream), step) for frame in frames.feed(stream[at : at + step])]
        assert found == [(Opcode.TEXT, text) for text in texts]


def test_a_client_masks_what_it_sends() -> None:
    frame = client_frame(Opcode.PONG, b"abc")
    assert frame[:2] == bytes([0x8A, 0x83])
    assert bytes(byte ^ frame[2 + n % 4] for n, byte in enumerate(frame[6:])) == b"abc"


def test_an_answer_is_whole_only_with_all_of_its_body() -> None:
    raw = b"HTTP/1.1 201 \r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody"
    assert [parse(raw[:size]) for size in range(len(raw))] == [None] * len(raw)
    answer = parse(raw + b"HTTP")
    assert answer is not None
    assert (answer.status, answer.body, answer.size, answer.last) == (201, b"body", len(raw), True)
    with pytest.raises(ValueError, match="Content-Length"):
        parse(b"HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n")


def test_percentiles_are_of_the_values_themselves() -> None:
    values = [float(n) for n in range(1, 101)]
    assert [percentile(values, share) for share in (0.0, 0.5, 0.95, 1.0)] == [1, 50, 95, 100]
    assert percentile([3.0], 0.95) == 3
    assert [neat(value) for value in (0.0, 0.012345, 1.2345, 1234.5)] == [0.0, 0.0123, 1.23, 1234.0]


def test_an_outcome_is_the_contracts_object_and_leaves_out_what_it_does_not_know() -> None:
    outcome = Outcome(
        bench="start", measured=1.5, baseline=1.0, ratio=1.5, unit="s", aim="under 2 s", errors=0, setup={"times": 5}
    )
    assert outcome.as_json() == {
        "bench": "start",
        "measured": 1.5,
        "baseline": 1.0,
        "ratio": 1.5,
        "unit": "s",
        "errors": 0,
        "setup": {"times": 5, "aim": "under 2 s"},
    }
    assert outcome.sound
