"""The answer to "is there io_uring here", for every answer the machine may give."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from overround._native import lib
from overround.errors import ConfigError, HostError
from overround.host import uring
from overround.host.uring import Shape, probe
from overround.ingress.handshake import HandshakeError, build_request, check_answer, parse_url
from overround.ingress.links import choose_shape

Force = Callable[[int, int], None]


@pytest.fixture
def force(monkeypatch: pytest.MonkeyPatch) -> Force:
    """Make the native probe end at a stage with an errno."""

    class Forced:
        stage = error = 0

        def __getattr__(self, name: str) -> object:
            return getattr(lib, name)

        def ovr_uring_probe(self, shape: int, ret: object) -> None:
            ret.stage, ret.error = self.stage, self.error

    forced = Forced()

    def to(stage: int, error: int) -> None:
        forced.stage, forced.error = stage, error
        monkeypatch.setattr(uring, "lib", forced)

    return to


@pytest.mark.parametrize(
    ("stage", "error", "wanted"),
    [
        (lib.OVR_URING_NOT_BUILT, errno.ENOSYS, "install liburing-dev and build again"),
        (lib.OVR_URING_SETUP, errno.EINVAL, "older than the flags we need"),
        (lib.OVR_URING_SETUP, errno.ENOSYS, "has no io_uring"),
        (lib.OVR_URING_SETUP, errno.ENOMEM, "memlock"),
        (lib.OVR_URING_SETUP, errno.EMFILE, "EMFILE"),
        (lib.OVR_URING_OPERATION, errno.ENOSYS, "lacks an operation"),
        (lib.OVR_URING_BUFFERS, errno.EINVAL, "no provided buffer rings"),
        (lib.OVR_URING_SELF_TEST, errno.ETIME, "self-test failed (ETIME)"),
    ],
)
def test_every_refusal_is_named_and_auto_leaves_it_to_picows(
    force: Force, stage: int, error: int, wanted: str
) -> None:
    force(stage, error)
    shape, cause = choose_shape("auto", Shape.LOOP)
    assert shape is None
    assert wanted in cause
    with pytest.raises(HostError, match="native is on, but there is no io_uring"):
        choose_shape("on", Shape.LOOP)
    assert choose_shape("off", Shape.LOOP) == (None, "ingress.native is off")


@pytest.mark.parametrize(
    ("disabled", "status", "wanted"),
    [
        ("2\n", "Seccomp:\t2\n", "kernel.io_uring_disabled"),
        ("0\n", "Seccomp:\t2\n", "seccomp"),
        ("0\n", "Seccomp:\t0\n", "no permission"),
        (None, "Seccomp:\t0\n", "no permission"),
    ],
)
def test_permission_denied_has_its_cause_looked_up(
    force: Force,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    disabled: str | None,
    status: str,
    wanted: str,
) -> None:
    force(lib.OVR_URING_SETUP, errno.EPERM)
    if disabled is not None:
        (tmp_path / "disabled").write_text(disabled)
    (tmp_path / "status").write_text(status)
    monkeypatch.setattr(uring, "_DISABLED", tmp_path / "disabled")
    monkeypatch.setattr(uring, "_STATUS", tmp_path / "status")
    assert wanted in probe().cause


def test_usable_ring_is_taken_in_the_shape_asked_for(force: Force) -> None:
    force(lib.OVR_URING_USABLE, 0)
    assert choose_shape("auto", Shape.SPIN) == (Shape.SPIN, "")
    assert choose_shape("on", Shape.THREAD) == (Shape.THREAD, "")


@pytest.mark.parametrize(
    ("url", "authority", "path"),
    [
        ("wss://venue.example/ws/market", "venue.example", "/ws/market"),
        ("ws://127.0.0.1:8080", "127.0.0.1:8080", "/"),
        ("ws://[::1]:9/a?b=c", "[::1]:9", "/a?b=c"),
    ],
)
def test_request_names_host_and_path(url: str, authority: str, path: str) -> None:
    target = parse_url(url)
    request = build_request(target, "key").decode()
    assert request.startswith(f"GET {path} HTTP/1.1\r\nHost: {authority}\r\n")
    assert request.endswith("Sec-WebSocket-Key: key\r\n\r\n")
    assert target.secure is url.startswith("wss")


@pytest.mark.parametrize("url", ["http://a/", "ws://", "ws://a:b/", "ws://a/ b", "", "ws://a\n/"])
def test_what_is_no_websocket_url_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="no WebSocket URL"):
        parse_url(url)


ACCEPT = b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
"""The example of RFC 6455, section 1.3."""
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
HEAD = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n"
)


def test_right_answer_is_accepted() -> None:
    check_answer(HEAD + ACCEPT + b"\r\n", KEY)


@pytest.mark.parametrize(
    ("head", "wanted"),
    [
        (HEAD + b"\r\n", "does not answer our key"),
        (HEAD + ACCEPT + ACCEPT + b"\r\n", "does not answer our key"),
        (HEAD + ACCEPT + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n", "Extensions"),
        (HEAD + ACCEPT + b"Sec-WebSocket-Protocol: chat\r\n\r\n", "Protocol"),
        (HEAD.replace(b"WebSocket", b"h2c") + ACCEPT + b"\r\n", "do not upgrade"),
        (HEAD.replace(b"101", b"403") + ACCEPT + b"\r\n", "403"),
        (b"HTTP/1.0 101 x\r\n\r\n", "no HTTP/1.1"),
        (b"\r\n\r\n", "no HTTP/1.1"),
        (HEAD + b"a: b\r\n" * 200 + ACCEPT + b"\r\n", "cannot be read"),
    ],
)
def test_wrong_answer_is_refused(head: bytes, wanted: str) -> None:
    with pytest.raises(HandshakeError, match=wanted):
        check_answer(head, KEY)
