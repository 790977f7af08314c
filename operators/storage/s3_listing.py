"""Listing an S3 prefix page by page, with many pages on their way at once.

S3 gives a thousand keys an answer, and the next answer must be asked for by the last one's token:
a bucket of millions takes as long as that many round trips. So a prefix with more than one page
is first taken apart at its folders, level by level, until there are enough of them to be listed
side by side. The parts are read in turns, a page of each, so that the order follows from the keys
alone and each part is one page ahead.
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
"""A level with more folders than this is not taken apart: each of them would cost a request."""
MOST_LEVELS = 8


@dataclass(frozen=True)
class _Page:
    objects: list[Object]
    folders: list[str]
    next: str | None
    """What the next page is asked for by; None after the last one."""


@dataclass
class _Part:
    """A prefix, or keys that are known already, and the pages that are on their way."""

    prefix: str
    known: list[Object] | None = None
    coming: Future[_Page] | None = None


@dataclass(frozen=True)
class _Bucket:
    files: Any
    name: str

    def page(self, prefix: str, delimiter: str, token: str | None) -> _Page:
        """One answer to a listing, keys as `BUCKET/KEY`. Raises Failure."""
        more = {"ContinuationToken": token} if token else {}

        def call() -> Mapping[str, Any]:
            answer: Mapping[str, Any] = self.files.call_s3(
                "list_objects_v2", Bucket=self.name, Prefix=prefix, Delimiter=delimiter, **self.files.req_kw, **more
            )
            return answer

        answer = with_retries(f"s3://{self.name}", call)
        objects: list[Object] = [
            {"name": f"{self.name}/{one['Key']}", "size": one["Size"], "ETag": one["ETag"]}
            for one in answer.get("Contents", [])
        ]
        folders = [one["Prefix"] for one in answer.get("CommonPrefixes", [])]
        return _Page(objects, folders, answer.get("NextContinuationToken") if answer.get("IsTruncated") else None)


def s3_objects(files: Any, root: str, source: str) -> Iterator[Object]:
    """Every object under `root` (`BUCKET/PREFIX`) with `name`, `size` and `ETag`. Raises Failure.

    An object that stands exactly there is the listing if there is nothing under it.
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
        yield from _in_turns(bucket, _taken_apart(bucket, prefix, pool), pool)


def _taken_apart(bucket: _Bucket, prefix: str, pool: ThreadPoolExecutor) -> list[_Part]:
    """Parts that together hold every key under a prefix once: a folder's own objects before the
    folders in it.
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
        finer = [finer for part in parts for finer in _finer(part, None if part.prefix in closed else pages.get(part.prefix))]
        if len(finer) > MOST_PARTS:
            break
        parts = finer
    return parts


def _finer(part: _Part, page: _Page | None) -> list[_Part]:
    if part.known is not None or page is None:
        return [part]
    own = [_Part(part.prefix, page.objects)] if page.objects else []
    return [*own, *(_Part(folder) for folder in page.folders)]


def _in_turns(bucket: _Bucket, parts: list[_Part], pool: ThreadPoolExecutor) -> Iterator[Object]:
    """The objects of all parts: one page of each of the first ones in turn, the next part in the
    place of one that ends.
    """
    waiting = iter(parts)
    active = deque(itertools.islice(waiting, PARTS_AT_ONCE))
    for part in active:
        _start(bucket, part, pool)
    while active:
        part = active.popleft()
        page = part.coming.result() if part.coming else _Page(part.known or [], [], None)
        if page.next is not None:
            part.coming = pool.submit(bucket.page, part.prefix, "", page.next)
            active.append(part)
        elif (following := next(waiting, None)) is not None:
            _start(bucket, following, pool)
            active.append(following)
        yield from page.objects


def _start(bucket: _Bucket, part: _Part, pool: ThreadPoolExecutor) -> None:
    if part.known is None:
        part.coming = pool.submit(bucket.page, part.prefix, "", None)
