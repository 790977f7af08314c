"""Content credentials: manifests that hold no more go; a signed edit has the source as parent."""

from __future__ import annotations

import datetime
import io
import json
from pathlib import Path

import c2pa
import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from PIL import Image

from operators.compose import Compose
from operators.pictures.codec import Limits, decode, encode_with_notes
from operators.pictures.picture import Edit
from operators.pictures.provenance import MIME_TYPES, Credentials, Signing, Source, load_credentials, signed
from operators.rows.failure import RunError

NOW = datetime.datetime.now(datetime.UTC)
PEM = serialization.Encoding.PEM


def issued(name: str, key, issuer: str, issuer_key, ca: bool) -> x509.Certificate:  # type: ignore[no-untyped-def]
    """A certificate as C2PA asks for it."""
    names = [
        x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Test"), x509.NameAttribute(NameOID.COMMON_NAME, common)])
        for common in (name, issuer)
    ]
    usage = x509.KeyUsage(not ca, False, False, False, False, ca, ca, False, False)
    builder = (
        x509.CertificateBuilder(issuer_name=names[1], subject_name=names[0], public_key=key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - datetime.timedelta(1))
        .not_valid_after(NOW + datetime.timedelta(30))
        .add_extension(x509.BasicConstraints(ca, None), True)
        .add_extension(usage, True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), False)
    )
    if not ca:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False)
    return builder.sign(issuer_key, hashes.SHA256())


@pytest.fixture(scope="module")
def pems() -> tuple[bytes, bytes]:
    """A key and its certificates."""
    root, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    chain = issued("signer", key, "root", root, False), issued("root", root, "root", root, True)
    private = key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return private, b"".join(certificate.public_bytes(PEM) for certificate in chain)


@pytest.fixture(scope="module")
def credentials(pems: tuple[bytes, bytes]) -> Credentials:
    return load_credentials(*pems)


def plain(format: str) -> bytes:
    buffer = io.BytesIO()
    noise = np.random.default_rng(3).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(buffer, format, **({"lossless": True} if format == "WEBP" else {}))
    return buffer.getvalue()


def with_manifest(format: str, credentials: Credentials) -> bytes:
    """A picture as a camera signs it, with a thumbnail in its manifest."""
    action = {"action": "c2pa.created", "digitalSourceType": "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"}
    manifest = {
        "claim_generator_info": [{"name": "camera", "version": "1"}],
        "format": MIME_TYPES[format],
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [action]}}],
    }
    info = c2pa.C2paSignerInfo(credentials.algorithm, credentials.certificates, credentials.key, None)
    output = io.BytesIO()
    with c2pa.Signer.from_info(info) as signer, c2pa.Builder(json.dumps(manifest)) as builder:
        builder.sign(signer, MIME_TYPES[format], io.BytesIO(plain(format)), output)
    return output.getvalue()


def report(format: str, data: bytes) -> dict:  # type: ignore[type-arg]
    with c2pa.Reader(MIME_TYPES[format], io.BytesIO(data)) as reader:
        result: dict = json.loads(reader.detailed_json())  # type: ignore[type-arg]
    return result


def edited(data: bytes) -> tuple[bytes, list[str]]:
    picture = decode(data, Limits())
    width, height = picture.size
    edit = Edit(0, 0, np.full((height, width, 3), (20, 180, 40), np.uint8), np.ones((height, width), np.float32))
    return encode_with_notes(picture.edited([edit]), data)


@pytest.mark.parametrize("format", MIME_TYPES)
def test_a_manifest_is_removed_and_noted(format: str, credentials: Credentials) -> None:
    source = with_manifest(format, credentials)
    assert report(format, source)["validation_state"] == "Valid"
    data, notes = edited(source)
    assert notes == ["c2pa_removed"]
    assert b"c2pa" not in data.lower()
    with pytest.raises(c2pa.C2paError):
        report(format, data)


@pytest.mark.parametrize("format", MIME_TYPES)
def test_a_signed_edit_names_the_source_as_its_parent(format: str, credentials: Credentials) -> None:
    source = with_manifest(format, credentials)
    result = signed(format, edited(source)[0], Source(format, source), credentials, "c2pa.edited")
    manifests = report(format, result)
    assert manifests["validation_state"] == "Valid"
    old = report(format, source)["active_manifest"]
    active = manifests["manifests"][manifests["active_manifest"]]
    assert set(manifests["manifests"]) == {old, manifests["active_manifest"]}
    actions = [action["action"] for action in active["assertion_store"]["c2pa.actions.v2"]["actions"]]
    assert actions[:2] == ["c2pa.opened", "c2pa.edited"]
    assert np.array_equal(decode(result, Limits()).rgb(), decode(edited(source)[0], Limits()).rgb())


@pytest.mark.parametrize(("format", "parent"), [("PNG", "PNG"), ("BMP", "JPEG")])
def test_the_parent_of_a_converted_file_is_its_source_if_manifests_know_the_format(
    format: str, parent: str, credentials: Credentials
) -> None:
    source = Source(format, plain(format)).or_converted("JPEG", plain("JPEG"))
    assert source.format == parent
    manifests = report("JPEG", signed("JPEG", plain("JPEG"), source, credentials, "c2pa.edited"))
    assert manifests["validation_state"] == "Valid"
    active = manifests["manifests"][manifests["active_manifest"]]
    assert [action["action"] for action in active["assertion_store"]["c2pa.actions.v2"]["actions"]] == [
        "c2pa.opened",
        "c2pa.edited",
    ]


def test_no_thumbnail_of_the_source_is_in_a_signed_edit(credentials: Credentials) -> None:
    source = with_manifest("JPEG", credentials)
    label = report("JPEG", source)["active_manifest"]
    assert "c2pa.thumbnail.claim" in report("JPEG", source)["manifests"][label]["assertion_store"]
    result = signed("JPEG", edited(source)[0], Source("JPEG", source), credentials, "c2pa.edited")
    thumbnail = source[source.index(b"\xff\xd8\xff", 4) :][700:4000]
    pieces = [thumbnail[start : start + 16] for start in range(0, len(thumbnail), 16)]
    assert not any(piece in result for piece in pieces)
    assert "c2pa.thumbnail.claim" not in report("JPEG", result)["manifests"][label]["assertion_store"]


def test_a_changed_byte_of_a_signed_edit_is_found_by_the_reader(credentials: Credentials) -> None:
    source = plain("PNG")
    result = bytearray(signed("PNG", edited(source)[0], Source("PNG", source), credentials, "c2pa.edited"))
    place = result.rindex(b"IDAT") + 20
    result[place] ^= 1
    assert report("PNG", bytes(result))["validation_state"] == "Invalid"


def test_a_key_of_another_certificate_and_what_is_no_key_end_the_run(pems: tuple[bytes, bytes], tmp_path: Path) -> None:
    _, chain = pems
    other = ed25519.Ed25519PrivateKey.generate()
    private = other.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    with pytest.raises(RunError, match="c2pa_invalid: the first certificate is not that of the key"):
        load_credentials(private, chain)
    with pytest.raises(RunError, match="c2pa_invalid: the key or the certificate is no PEM"):
        load_credentials(b"no key", chain)
    with pytest.raises(RunError, match="c2pa_invalid: the key or the certificate cannot be read: key_missing"):
        Compose(signing=Signing(str(tmp_path / "key.pem"), str(tmp_path / "chain.pem"))).check()


def test_the_place_of_the_key_is_not_recorded() -> None:
    assert Compose(signing=Signing("secret.pem", "chain.pem")).settings()["signing"] == "chain.pem"
