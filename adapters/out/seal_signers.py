"""Who vouches for a seal: a signature over its file by a key that is not the books', and a time-stamp by an authority (RFC 3161).

Both stand beside the file and can be checked without Tickmark: `openssl pkeyutl -verify -rawin` checks the one, `openssl ts -verify`
the other.
"""

from __future__ import annotations

from datetime import datetime
from itertools import islice
from pathlib import Path

import requests
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from rfc3161_client import (
    HashAlgorithm,
    TimestampRequestBuilder,
    VerificationError,
    VerifierBuilder,
    decode_timestamp_response,
)

from ledger.errors import Refused

TIMEOUT_SECONDS = 30
_PART, _PARTS_MAX = 4_096, 100  # a time-stamp has a few thousand bytes
_GRANTED = 0


def signature_file(file: Path) -> Path:
    """Where the signature over a file stands."""
    return file.with_name(f"{file.name}.sig")


def timestamp_file(file: Path) -> Path:
    """Where the time-stamp of a file stands: an authority's answer, as it came."""
    return file.with_name(f"{file.name}.tsr")


def sign(content: bytes, key_file: Path) -> bytes:
    """The Ed25519 signature (RFC 8032) over some content, 64 bytes, by a private key in PEM.

    Raises Refused for a file that holds no such key.
    """
    expected = "expected a private key in PEM, as `openssl genpkey -algorithm ed25519` makes it, without a password"
    try:
        key = load_pem_private_key(key_file.read_bytes(), password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm):
        raise Refused("sign", key_file.name, expected) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise Refused("sign", key_file.name, expected)
    return key.sign(content)


def check_signature(file: Path, key_file: Path) -> None:
    """Raise Refused unless the signature beside a file is one over its content, by whoever has the private key to a public one."""
    expected = "expected a public key in PEM, as `openssl pkey -pubout` writes it of an Ed25519 key"
    try:
        key = load_pem_public_key(key_file.read_bytes())
    except (OSError, ValueError, UnsupportedAlgorithm):
        raise Refused("signer", key_file.name, expected) from None
    if not isinstance(key, Ed25519PublicKey):
        raise Refused("signer", key_file.name, expected)
    signature = _beside(signature_file(file), "`tickmark seal --export FILE --sign KEY`")
    try:
        key.verify(signature, file.read_bytes())
    except InvalidSignature:
        raise Refused(
            "head",
            file.name,
            f"expected what {signature_file(file).name} was signed over, by the key in {key_file.name}",
        ) from None


def timestamp(content: bytes, url: str) -> bytes:
    """A time-stamping authority's answer for some content: its token says that the content was there at a moment.

    Only the content's SHA-256 is sent. Raises Refused where the authority does not answer with a token for it.
    """
    asked = TimestampRequestBuilder().data(content).hash_algorithm(HashAlgorithm.SHA256).build()
    try:
        with requests.post(
            url, data=asked.as_bytes(), timeout=TIMEOUT_SECONDS, allow_redirects=False, stream=True,
            headers={"Content-Type": "application/timestamp-query", "Accept": "application/timestamp-reply"},
        ) as answer:  # fmt: skip
            raw = b"".join(islice(answer.iter_content(_PART), _PARTS_MAX))
    except requests.RequestException as error:
        raise Refused("timestamp", url, f"expected a time-stamping authority: {type(error).__name__}") from None
    if answer.status_code != requests.codes.ok:
        raise Refused("timestamp", url, f"expected a time-stamp, got HTTP {answer.status_code}")
    try:
        response = decode_timestamp_response(raw)
        fits = (
            response.status == _GRANTED
            and response.tst_info.message_imprint.message == asked.message_imprint.message
            and response.tst_info.nonce == asked.nonce
        )
    except ValueError:
        raise Refused("timestamp", url, "expected a time-stamp as RFC 3161 has it") from None
    if not fits:
        raise Refused("timestamp", url, "expected a time-stamp of what was asked for")
    return raw


def check_timestamp(file: Path, roots_file: Path) -> datetime:
    """When a file was there, by the time-stamp beside it. Raises Refused unless it is one of the file's content, by an authority one trusts.

    `roots_file` holds the certificates, in PEM, that the authority's has to lead to.
    """
    try:
        roots = x509.load_pem_x509_certificates(roots_file.read_bytes())
    except (OSError, ValueError):
        raise Refused("timestamp-root", roots_file.name, "expected an authority's root certificate in PEM") from None
    raw = _beside(timestamp_file(file), "`tickmark seal --export FILE --timestamp URL`")
    builder = VerifierBuilder()
    for root in roots:
        builder = builder.add_root_certificate(root)
    try:
        response = decode_timestamp_response(raw)
        builder.build().verify_message(response, file.read_bytes())
    except (ValueError, VerificationError) as error:
        raise Refused(
            "head",
            file.name,
            f"expected what {timestamp_file(file).name} is a time-stamp of, by {roots_file.name}: {error}",
        ) from None
    moment: datetime = response.tst_info.gen_time
    return moment


def _beside(file: Path, made_by: str) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        raise Refused("head", file.name, f"expected the file that {made_by} writes beside it") from None
