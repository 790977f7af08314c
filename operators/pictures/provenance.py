"""Content credentials (C2PA 2): a signed manifest that says what made a file.

A manifest vouches for the bytes of a file, so an edit makes it false; it is removed with the
previews, see `operators.pictures.previews.table`. With a key and a certificate the edited file
gets a manifest of its own, which names the edit and has the source, with its old manifest, as its
ingredient. Thumbnails in old manifests would show what was erased: they are redacted, which C2PA
provides for. A manifest contains random numbers, so the same edit gives other bytes each time.
"""

from __future__ import annotations

import importlib.util
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

from operators.rows.failure import Failure, RunError

MIME_TYPES = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "TIFF": "image/tiff", "GIF": "image/gif"}
"""The formats whose files can be signed."""
CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
"""Signature algorithms by the curve of the key."""
SETTINGS = {"builder": {"thumbnail": {"enabled": False}}}
"""A thumbnail of the source would show what was erased."""
SIGNED, NOT_SIGNED = "c2pa_signed", "c2pa_not_signed"
"""Notes on a file that was signed, and on one whose format cannot be."""


@dataclass(frozen=True)
class Signing:
    """Where the key and the certificates are that sign edited files: paths or URLs of PEM files."""

    key: str
    certificates: str
    """The signer's certificate, followed by those that vouch for it."""

    def credentials(self, read: Callable[[str], bytes]) -> Credentials:
        """The key and the certificates; `read` reads a path or URL, once in a process.

        Raises RunError c2pa_unavailable or c2pa_invalid.
        """
        return _credentials(self, read)


@lru_cache(maxsize=4)
def _credentials(signing: Signing, read: Callable[[str], bytes]) -> Credentials:
    try:
        return load_credentials(read(signing.key), read(signing.certificates))
    except Failure as error:
        raise RunError("c2pa_invalid", f"the key or the certificate cannot be read: {error.code}") from error


@dataclass(frozen=True)
class Credentials:
    """A private key and the certificates that vouch for it, the signer's first, both as PEM."""

    key: bytes
    certificates: bytes
    algorithm: str


def load_credentials(key: bytes, certificates: bytes) -> Credentials:
    """Check that a key and certificates belong together and can sign.

    Raises RunError c2pa_unavailable without the extra `c2pa`, and c2pa_invalid.
    """
    if importlib.util.find_spec("c2pa") is None or importlib.util.find_spec("cryptography") is None:
        raise RunError("c2pa_unavailable", "signing needs the extra c2pa: pip install 'cleanplate[c2pa]'")
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        private = load_pem_private_key(key, None)
        chain = x509.load_pem_x509_certificates(certificates)
    except (TypeError, ValueError) as error:
        raise RunError("c2pa_invalid", f"the key or the certificate is no PEM without a password: {error}") from error
    if chain[0].public_key() != private.public_key():
        raise RunError("c2pa_invalid", "the first certificate is not that of the key")
    algorithm = None
    for kind, name in ((ed25519.Ed25519PrivateKey, "ed25519"), (rsa.RSAPrivateKey, "ps256")):
        algorithm = name if isinstance(private, kind) else algorithm
    if isinstance(private, ec.EllipticCurvePrivateKey):
        algorithm = CURVES.get(private.curve.name)
    if algorithm is None:
        raise RunError("c2pa_invalid", "a key is on curve P-256, P-384 or P-521, Ed25519 or RSA")
    return Credentials(key, certificates, algorithm)


class Source(NamedTuple):
    """The file that was edited."""

    format: str
    """A key of `operators.pictures.codec.FORMATS`."""
    data: bytes

    def or_converted(self, format: str, data: bytes) -> Source:
        """This file, or what it was converted to if manifests cannot name files of its format."""
        return self if self.format in MIME_TYPES else Source(format, data)


def with_signature(
    format: str, data: bytes, source: Source, notes: list[str], credentials: Credentials, action: str
) -> tuple[bytes, list[str]]:
    """The signed file, and its notes with one that says so; see `signed`.

    A format that cannot be signed leaves the file as it is. Raises ValueError as `signed` does.
    """
    if format not in MIME_TYPES:
        return data, [*notes, f"{NOT_SIGNED}: {format}"]
    return signed(format, data, source, credentials, action), [*notes, SIGNED]


def signed(format: str, data: bytes, source: Source, credentials: Credentials, action: str) -> bytes:
    """The file with a manifest that names `action` and has the source as its parent.

    `format` is a key of MIME_TYPES; `action` is one of C2PA's, such as `c2pa.edited`. Raises
    ValueError for a file or certificates that cannot be signed with.
    """
    import c2pa

    mime, parent_mime = MIME_TYPES[format], MIME_TYPES[source.format]
    agent = {"name": "cleanplate", "version": _own_version()}
    thumbnails = _thumbnails(parent_mime, source.data)
    redacted = [
        {"action": "c2pa.redacted", "reason": "c2pa.PII.present", "parameters": {"redacted": uri}} for uri in thumbnails
    ]
    manifest: dict[str, Any] = {
        "claim_generator_info": [agent],
        "format": mime,
        "assertions": [
            {
                "label": "c2pa.actions.v2",
                "data": {
                    "actions": [
                        {"action": "c2pa.opened", "parameters": {"ingredientIds": ["source"]}},
                        {"action": action, "softwareAgent": agent},
                        *redacted,
                    ]
                },
            }
        ],
    }
    if thumbnails:
        manifest["redactions"] = thumbnails
    info = c2pa.C2paSignerInfo(credentials.algorithm, credentials.certificates, credentials.key, None)
    output = io.BytesIO()
    try:
        context = c2pa.Context.from_dict(SETTINGS)
        with c2pa.Signer.from_info(info) as signer, c2pa.Builder(json.dumps(manifest), context) as builder:
            parent = {"title": "source", "relationship": "parentOf", "label": "source"}
            builder.add_ingredient(json.dumps(parent), parent_mime, io.BytesIO(source.data))
            builder.sign(signer, mime, io.BytesIO(data), output)
    except c2pa.C2paError as error:
        raise ValueError(f"the file cannot be signed: {error}") from error
    return output.getvalue()


def _thumbnails(mime: str, source: bytes) -> list[str]:
    """The addresses of all thumbnails in a file's manifests; empty for a file without any."""
    import c2pa

    try:
        with c2pa.Reader(mime, io.BytesIO(source)) as reader:
            manifests = json.loads(reader.detailed_json())["manifests"]
    except (c2pa.C2paError, KeyError, ValueError):
        return []
    return [
        f"self#jumbf=/c2pa/{label}/c2pa.assertions/{assertion}"
        for label, manifest in manifests.items()
        for assertion in manifest.get("assertion_store", {})
        if assertion.startswith("c2pa.thumbnail")
    ]


def _own_version() -> str:
    try:
        return version("cleanplate")
    except PackageNotFoundError:
        return "0"
