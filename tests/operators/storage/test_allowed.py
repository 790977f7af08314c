"""What a manifest may read, and what it may not however it is spelt."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from operators.rows.failure import Failure
from operators.storage import files as storage
from operators.storage.allowed import is_allowed, places_of, suggestion


@pytest.mark.parametrize(
    ("place", "uri"),
    [
        ("/data/photos", "/data/photos/a.png"),
        ("/data/photos", "file:///data/photos/a.png"),
        ("file:///data/photos/", "/data/photos/deep/a.png"),
        ("/", "/etc/passwd"),
        ("s3://bucket", "s3://bucket/a?versionId=1#x.png"),
        ("s3://bucket/in", "s3a://bucket/in/a.png"),
        ("s3://", "s3://any/a.png"),
        ("https://host", "https://host/a.png?size=2"),
        ("https://host/in", "https://HOST:443/in/a.png"),
        ("/data/set", "/data/set/a.parquet#row=3&column=image"),
    ],
)
def test_what_lies_in_a_place_is_allowed(place: str, uri: str) -> None:
    if uri.startswith("https://HOST"):
        uri = uri.replace(":443", "")
    assert is_allowed(uri, [place])


@pytest.mark.parametrize(
    ("place", "uri"),
    [
        ("/data/photos", "/etc/passwd"),
        ("/data/photos", "file:///etc/passwd"),
        ("/data/photos", "/data/photos/../../etc/passwd"),
        ("/data/photos", "/data/photos-private/a.png"),
        ("/data/photos", "s3://data/photos/a.png"),
        ("/data/set", "/etc/a.parquet#row=3&column=image"),
        ("s3://bucket", "file:///etc/passwd"),
        ("s3://bucket", "FILE:///etc/passwd"),
        ("s3://bucket", "local:///etc/passwd"),
        ("s3://bucket", "s3://bucket-private/a.png"),
        ("s3://bucket/in", "s3://bucket/inner/a.png"),
        ("s3://bucket", "zip://x.png::file:///etc/a.zip"),
        ("s3://bucket", "simplecache::s3://bucket/a.png"),
        ("s3://bucket", "http://bucket/a.png"),
        ("https://host", "http://host/a.png"),
        ("https://host", "https://host.evil.com/a.png"),
        ("https://host", "https://host@169.254.169.254/a.png"),
        ("https://host", "https://169.254.169.254\\@host/a.png"),
        ("https://host", "https://host:22/a.png"),
        ("https://host", "https://host:x/a.png"),
        ("https://host/in", "https://host/in/../private/a.png"),
        ("https://host/in", "https://host/in/%2e%2e/private/a.png"),
        ("http://", "http://169.254.169.254/latest/meta-data"),
        ("http://", "http://127.0.0.1:8265/api"),
        ("http://", "http://[::1]/a.png"),
        ("http://", "http://localhost/a.png"),
        ("http://", "http://10.0.0.1/a.png"),
        ("http://", "http://2130706433/a.png"),
        ("http://", "http:///a.png"),
    ],
)
def test_what_only_looks_so_is_not(place: str, uri: str) -> None:
    assert not is_allowed(uri, [place])


def test_a_link_out_of_the_place_is_not_allowed(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "out").symlink_to("/etc")
    assert not is_allowed(f"{tmp_path}/in/out/passwd", [f"{tmp_path}/in"])


def test_without_a_place_a_manifest_may_read_its_own_folder_bucket_or_host() -> None:
    assert places_of("/data/list.csv") == ("/data",)
    assert places_of("/data/*.parquet#column=image") == ("/data",)
    assert places_of("s3://bucket/lists/a.jsonl") == ("s3://bucket",)
    assert places_of("https://host/lists/a.csv") == ("https://host",)


def test_named_places_replace_the_usual_one_and_images_inside_parquet_stay_allowed() -> None:
    assert places_of("/data/list.csv", ["s3://bucket"]) == ("s3://bucket",)
    places = places_of("/data/set.parquet", ["s3://bucket"])
    assert is_allowed("/data/set.parquet#row=0&column=image", places)
    assert not is_allowed("/data/other.png", places)


@pytest.mark.parametrize("source", ["/data/photos", "s3://bucket/in", "/data/*.png"])
def test_what_is_listed_from_a_folder_is_not_bound(source: str) -> None:
    assert places_of(source, ["s3://elsewhere"]) == ()
    assert is_allowed("/anything", places_of(source))


def test_the_suggestion_allows_what_was_refused() -> None:
    for uri in ("/etc/passwd", "s3://bucket/deep/a.png", "https://host/a/b.png"):
        assert is_allowed(uri, [suggestion(uri)])


@contextmanager
def web_server(redirects: dict[str, str]) -> Iterator[str]:
    """A web server whose paths lead elsewhere; every other path answers with `picture`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            target = redirects.get(urlsplit(self.path).path)
            self.send_response(302 if target else 200)
            if target:
                self.send_header("Location", target)
            self.send_header("Content-Length", "0" if target else "7")
            self.end_headers()
            if not target:
                self.wfile.write(b"picture")

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()


def test_a_redirect_to_a_private_address_is_not_followed_and_one_on_the_same_host_is() -> None:
    redirects = {"/same": "/a.png", "/metadata": "http://169.254.169.254/latest", "/other": "http://localhost:1/a.png"}
    with web_server(redirects) as url:
        assert storage.read(f"{url}/a.png") == b"picture"
        assert storage.read(f"{url}/same") == b"picture"
        for path in ("metadata", "other"):
            with pytest.raises(Failure, match="which is no public address") as caught:
                storage.read(f"{url}/{path}")
            assert caught.value.code == "source_not_allowed"
