"""Listing an S3 prefix with many pages in flight at once.

S3 returns a thousand keys per answer, and the request for the next answer needs the token of the
last: one after the other, millions of keys take thousands of round trips. A prefix with more than
one page is therefore first split at its folders, level by level, until there are enough parts to
list side by side. The parts are read in turns, one page of each, so that the order depends only
on the keys and the next page of each part is already requested.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from operators.storage.retries import with_retries

Object = Mapping[str, Any]

PARTS_AT_ONCE = 16
ENOUGH_PARTS = PARTS_AT_ONCE
MOST_PARTS = 1024
"""A split into more parts than this is not made, because each part costs a request."""
MOST_LEVELS = 8


@dataclass(frozen=True)
class _Page:
    objects: list[Object]
    folders: list[str]
    next: str | None
    """The token of the next page; None on the last one."""


@dataclass
class _Part:
    """A prefix that is still to be listed, or objects that are already known."""

    prefix: str
    known: list[Object] | None = None
    next_page: Future[_Page] | None = None


@dataclass(frozen=True)
class _Bucket:
    files: Any
    name: str

    def page(self, prefix: str, delimiter: str, token: str | None) -> _Page:
        """One page of a listing, with names as `BUCKET/KEY`. Raises Failure."""
        continuation = {"ContinuationToken": token} if token else {}

        def call() -> Mapping[str, Any]:
            answer: Mapping[str, Any] = self.files.call_s3(
                "list_objects_v2", Bucket=self.name, Prefix=prefix, Delimiter=delimiter, **self.files.req_kw, **continuation
            )
            return answer

        answer = with_retries(f"s3://{self.name}", call)
        objects: list[Object] = [
            {"name": f"{self.name}/{entry['Key']}", "size": entry["Size"], "ETag": entry["ETag"]}
            for entry in answer.get("Contents", [])
        ]
        folders = [entry["Prefix"] for entry in answer.get("CommonPrefixes", [])]
        return _Page(objects, folders, answer.get("NextContinuationToken") if answer.get("IsTruncated") else None)


def s3_objects(files: Any, root: str, source: str) -> Iterator[Object]:
    """Every object under `root` (`BUCKET/PREFIX`) with `name`, `size` and `ETag`. Raises Failure.

    If there is nothing under `root` but an object with exactly that key, that object is listed.
    """
    name, key, _ = files.split_path(root)
    bucket = _Bucket(files, name)
    prefix = f"{key.rstrip('/')}/" if key else ""
    first = bucket.page(prefix, "", None)
    if first.next is None:
        if not first.objects and key and with_retries(source, lambda: files.exists(root)):
            yield with_retries(source, lambda: files.info(root))
        yield from first.objects
        return
    with ThreadPoolExecutor(PARTS_AT_ONCE, thread_name_prefix="listing") as pool:
        yield from _interleave(bucket, _split(bucket, prefix, pool), pool)


def _split(bucket: _Bucket, prefix: str, pool: ThreadPoolExecutor) -> list[_Part]:
    """Parts that together contain every key under a prefix exactly once.

    The objects of a folder come before its subfolders.
    """
    parts = [_Part(prefix)]
    closed: set[str] = set()
    for _ in range(MOST_LEVELS):
        open_parts = [part for part in parts if part.known is None and part.prefix not in closed]
        if not open_parts or len([part for part in parts if part.known is None]) >= ENOUGH_PARTS:
            break
        pages = dict(
            zip(
                (part.prefix for part in open_parts),
                pool.map(lambda part: bucket.page(part.prefix, "/", None), open_parts),
                strict=True,
            )
        )
        closed |= {prefix for prefix, page in pages.items() if page.next is not None or not page.folders}
        finer = [
            piece for part in parts for piece in _split_part(part, None if part.prefix in closed else pages.get(part.prefix))
        ]
        if len(finer) > MOST_PARTS:
            break
        parts = finer
    return parts


def _split_part(part: _Part, page: _Page | None) -> list[_Part]:
    if part.known is not None or page is None:
        return [part]
    objects = [_Part(part.prefix, page.objects)] if page.objects else []
    return [*objects, *(_Part(folder) for folder in page.folders)]


def _interleave(bucket: _Bucket, parts: list[_Part], pool: ThreadPoolExecutor) -> Iterator[Object]:
    """The objects of all parts, one page of each active part in turn.

    The first parts are active; when one ends, the next one replaces it.
    """
    waiting = iter(parts)
    active = deque(itertools.islice(waiting, PARTS_AT_ONCE))
    for part in active:
        _start(bucket, part, pool)
    while active:
        part = active.popleft()
        page = part.next_page.result() if part.next_page else _Page(part.known or [], [], None)
        if page.next is not None:
            part.next_page = pool.submit(bucket.page, part.prefix, "", page.next)
            active.append(part)
        elif (following := next(waiting, None)) is not None:
            _start(bucket, following, pool)
            active.append(following)
        yield from page.objects


def _start(bucket: _Bucket, part: _Part, pool: ThreadPoolExecutor) -> None:
    if part.known is None:
        part.next_page = pool.submit(bucket.page, part.prefix, "", None)
