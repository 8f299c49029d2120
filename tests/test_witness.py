"""Who vouches for a seal: a signature and a time-stamp beside its file, each checked by OpenSSL too, which knows nothing of us.

The time-stamping authority is OpenSSL's own, behind HTTP.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ledger.proof.blocks import hash_of_json
from tests.conftest import Cli
from tests.samples import parties, usage

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs OpenSSL")

AUTHORITY = """[tsa]
default_tsa = ours
[ours]
serial = {folder}/serial
signer_cert = {folder}/tsa.pem
signer_key = {folder}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
ess_cert_id_alg = sha256
"""
EXTENSIONS = "basicConstraints=CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=critical,timeStamping\n"


def _openssl(*arguments: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, check=check)


@dataclass
class Authority:
    """A time-stamping authority: its address, its root certificate, and what it answers instead of a time-stamp."""

    url: str
    root: Path
    instead: list[tuple[int, bytes]] = field(default_factory=list)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("authority")
    for name, subject in (("root", "/CN=Root"), ("other", "/CN=Other")):
        _openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem",
                 "-days", "30", "-subj", subject)  # fmt: skip
    _openssl(
        "req",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        folder / "tsa.key",
        "-out",
        folder / "tsa.csr",
        "-subj",
        "/CN=Authority",
    )
    (folder / "extensions").write_text(EXTENSIONS)
    _openssl("x509", "-req", "-in", folder / "tsa.csr", "-CA", folder / "root.pem", "-CAkey", folder / "root.key", "-CAcreateserial",
             "-out", folder / "tsa.pem", "-days", "30", "-extfile", folder / "extensions")  # fmt: skip
    (folder / "serial").write_text("01\n")
    (folder / "authority.cnf").write_text(AUTHORITY.format(folder=folder))
    return folder


@pytest.fixture
def authority(certificates: Path, tmp_path: Path) -> Iterator[Authority]:
    made = Authority("", certificates / "root.pem")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked, answer = tmp_path / "asked.tsq", tmp_path / "answer.tsr"
            asked.write_bytes(self.rfile.read(int(self.headers["content-length"])))
            assert self.headers["content-type"] == "application/timestamp-query"
            status, content = made.instead.pop(0) if made.instead else (200, b"")
            if not content:
                _openssl("ts", "-reply", "-config", certificates / "authority.cnf", "-queryfile", asked, "-out", answer)
                content = answer.read_bytes()
            self.send_response(status)
            self.send_header("content-type", "application/timestamp-reply")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_port}/"
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    private, public = tmp_path / "controller.pem", tmp_path / "controller.pub.pem"
    _openssl("genpkey", "-algorithm", "ed25519", "-out", private)
    _openssl("pkey", "-in", private, "-pubout", "-out", public)
    return private, public


def test_a_signed_and_time_stamped_seal_is_checked_by_us_and_by_openssl(
    cli: Cli, authority: Authority, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    private, public = keys
    head = tmp_path / "head.json"
    cli.post(*parties(), usage("u1", "1.00", "2026-01-05"))
    told = cli.ok("seal", "--export", str(head), "--sign", str(private), "--timestamp", authority.url)
    assert f"wrote {head}, {head}.sig, {head}.tsr: keep them where" in told
    told = cli.ok("verify", "--head", str(head), "--signer", str(public), "--timestamp-root", str(authority.root))
    assert "head.json is signed by the key in controller.pub.pem\n" in told
    assert "UTC, by a time-stamp that leads to root.pem\n" in told
    assert "checks hold" in told
    by_openssl = _openssl(
        "pkeyutl", "-verify", "-pubin", "-inkey", public, "-rawin", "-in", head, "-sigfile", f"{head}.sig"
    )
    assert "Signature Verified Successfully" in by_openssl.stdout
    by_openssl = _openssl("ts", "-verify", "-data", head, "-in", f"{head}.tsr", "-CAfile", authority.root)
    assert "Verification: OK" in by_openssl.stdout + by_openssl.stderr


def test_what_was_changed_or_is_by_somebody_else_is_refused(
    cli: Cli, authority: Authority, keys: tuple[Path, Path], certificates: Path, tmp_path: Path
) -> None:
    private, public = keys
    head = tmp_path / "head.json"
    cli.post(*parties(), usage("u1", "1.00", "2026-01-05"))
    cli.ok("seal", "--export", str(head), "--sign", str(private), "--timestamp", authority.url)
    stranger, theirs = tmp_path / "stranger.pem", tmp_path / "stranger.pub.pem"
    _openssl("genpkey", "-algorithm", "ed25519", "-out", stranger)
    _openssl("pkey", "-in", stranger, "-pubout", "-out", theirs)
    verify = ("verify", "--head", str(head))
    assert "by the key in stranger.pub.pem" in cli.refused(*verify, "--signer", str(theirs))
    assert "by other.pem" in cli.refused(*verify, "--timestamp-root", str(certificates / "other.pem"))
    content = head.read_text()
    head.write_text(content.replace('"sealed_by": "tester"', '"sealed_by": "nobody"'))
    assert "its hash is not that of what it says, so that it was changed since" in cli.refused(*verify)
    # another seal with the files of this one
    said = json.loads(content) | {"sealed_by": "nobody"}
    head.write_text(json.dumps(said | {"hash": hash_of_json(said)}))
    assert "expected what head.json.sig was signed over" in cli.refused(*verify, "--signer", str(public))
    assert "expected what head.json.tsr is a time-stamp of" in cli.refused(
        *verify, "--timestamp-root", str(authority.root)
    )
    head.write_text(content)
    (tmp_path / "head.json.tsr").write_bytes(b"\x30\x03\x02\x01\x00")
    assert "expected what head.json.tsr is a time-stamp of" in cli.refused(
        *verify, "--timestamp-root", str(authority.root)
    )
    for kind, option, file in (("sig", "--signer", public), ("tsr", "--timestamp-root", authority.root)):
        (tmp_path / f"head.json.{kind}").unlink()
        assert f"head.json.{kind}: expected the file that" in cli.refused(*verify, option, str(file))


@pytest.mark.parametrize(
    ("status", "content", "said"),
    [(500, b"sorry", "got HTTP 500"), (200, b"<html>", "as RFC 3161 has it"), (302, b"moved", "got HTTP 302"),
     (200, b"0" * 2_000_000, "as RFC 3161 has it")],
    ids=["error", "page", "redirect", "two megabytes"],
)  # fmt: skip
def test_an_authority_that_does_not_witness_leaves_no_files(
    cli: Cli, authority: Authority, tmp_path: Path, status: int, content: bytes, said: str
) -> None:
    head = tmp_path / "head.json"
    cli.post(*parties(), usage("u1", "1.00", "2026-01-05"))
    authority.instead.append((status, content))
    assert said in cli.refused("seal", "--export", str(head), "--timestamp", authority.url)
    assert not list(tmp_path.glob("head.json*"))


def test_an_answer_to_another_question_is_refused(cli: Cli, authority: Authority, tmp_path: Path) -> None:
    cli.post(*parties(), usage("u1", "1.00", "2026-01-05"))
    cli.ok("seal", "--export", str(tmp_path / "first.json"), "--timestamp", authority.url)
    authority.instead.append((200, (tmp_path / "first.json.tsr").read_bytes()))
    told = cli.refused("seal", "--export", str(tmp_path / "second.json"), "--timestamp", authority.url)
    assert "expected a time-stamp of what was asked for" in told


def test_nobody_at_the_address(cli: Cli, tmp_path: Path) -> None:
    cli.post(*parties(), usage("u1", "1.00", "2026-01-05"))
    told = cli.refused("seal", "--export", str(tmp_path / "head.json"), "--timestamp", "http://127.0.0.1:9/")
    assert "expected a time-stamping authority: ConnectionError" in told


def test_a_key_that_is_none_is_refused(cli: Cli, keys: tuple[Path, Path], certificates: Path, tmp_path: Path) -> None:
    private, public = keys
    head = tmp_path / "head.json"
    cli.post(*parties(), usage("u1", "1.00", "2026-01-05"))
    for wrong in (public, certificates / "root.key", certificates / "extensions"):
        assert "expected a private key in PEM" in cli.refused("seal", "--export", str(head), "--sign", str(wrong))
    assert not head.exists()
    cli.ok("seal", "--export", str(head), "--sign", str(private))
    for wrong in (private, certificates / "root.pem", certificates / "extensions"):
        assert "expected a public key in PEM" in cli.refused("verify", "--head", str(head), "--signer", str(wrong))
    assert "root certificate in PEM" in cli.refused("verify", "--head", str(head), "--timestamp-root", str(public))
    assert json.loads(head.read_text())["seal_id"] == "1"


@pytest.mark.parametrize(
    "arguments", [("seal", "--sign", "KEY"), ("seal", "--timestamp", "http://x/"), ("verify", "--signer", "KEY")]
)
def test_what_vouches_is_of_a_file(cli: Cli, keys: tuple[Path, Path], arguments: tuple[str, ...]) -> None:
    told = cli.run(*(str(keys[0]) if part == "KEY" else part for part in arguments))
    assert told.exit_code == 2
