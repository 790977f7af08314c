"""Listing an S3 prefix with many pages in flight at once.

S3 returns a thousand keys per answer, and the request for the next answer needs the token of the
last: one after the other, millions of keys take thousands of round trips. A prefix with more than
one page is therefore first split at its folders, level by level, until there are enough parts to
list side by side. The parts are read in turns, one page of each, so that the order depends only
on the keys and the next page of each part is already requested. The outputs of earlier runs are
left out; see `operators.storage.earlier_runs`.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from operators.storage.earlier_runs import INDEX, RECORD, SHARD
from operators.storage.retries import with_retries
from operators.storage.runs_in_keys import RunsInKeys

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

    def key(self, item: Object) -> str:
        """The key of an object of a page."""
        return str(item["name"])[len(self.name) + 1 :]

    def is_run(self, prefix: str) -> bool:
        """Whether a prefix is that of the DEST of a run. Raises Failure."""
        return bool(self.page(f"{prefix}{INDEX}/{SHARD}", "/", None).objects) and any(
            self.key(item) == f"{prefix}{RECORD}" for item in self.page(f"{prefix}{RECORD}", "/", None).objects
        )


def s3_objects(files: Any, root: str, source: str, leave_out: Callable[[str], None] | None = None) -> Iterator[Object]:
    """Every object under `root` (`BUCKET/PREFIX`) with `name`, `size` and `ETag`. Raises Failure.

    With `leave_out`, the outputs of earlier runs are left out, and it is called with the path of
    each such folder, relative to `root`.

    If there is nothing under `root` but an object with exactly that key, that object is listed.
    """
    name, key, _ = files.split_path(root)
    bucket = _Bucket(files, name)
    prefix = f"{key.rstrip('/')}/" if key else ""
    runs = RunsInKeys(prefix, bucket.is_run, leave_out) if leave_out else None
    first = bucket.page(prefix, "", None)
    if first.next is None:
        if not first.objects and key and with_retries(source, lambda: files.exists(root)):
            yield with_retries(source, lambda: files.info(root))
        yield from _kept(bucket, first, runs)
        return
    with ThreadPoolExecutor(PARTS_AT_ONCE, thread_name_prefix="listing") as pool:
        yield from _interleave(bucket, _split(bucket, prefix, pool, runs), pool, runs)


def _kept(bucket: _Bucket, page: _Page, runs: RunsInKeys | None) -> list[Object]:
    """The objects of a page that are not outputs of earlier runs."""
    if runs is None:
        return page.objects
    keep = runs.keep([bucket.key(item) for item in page.objects], page.next is not None)
    return list(itertools.compress(page.objects, keep))


def _split(bucket: _Bucket, prefix: str, pool: ThreadPoolExecutor, runs: RunsInKeys | None) -> list[_Part]:
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
        for part in open_parts if runs else []:
            page = pages[part.prefix]
            if runs and page.next is None:
                names = [bucket.key(item)[len(part.prefix) :] for item in page.objects]
                runs.look_at(part.prefix, names, [folder[len(part.prefix) : -1] for folder in page.folders])
        closed |= {prefix for prefix, page in pages.items() if page.next is not None or not page.folders}
        finer = [
            piece for part in parts for piece in _split_part(part, None if part.prefix in closed else pages.get(part.prefix))
        ]
        if runs:
            finer = [part for part in finer if not runs.drops(part.prefix)]
        if len(finer) > MOST_PARTS:
            break
        parts = finer
    return parts


def _split_part(part: _Part, page: _Page | None) -> list[_Part]:
    if part.known is not None or page is None:
        return [part]
    objects = [_Part(part.prefix, page.objects)] if page.objects else []
    return [*objects, *(_Part(folder) for folder in page.folders)]


def _interleave(bucket: _Bucket, parts: list[_Part], pool: ThreadPoolExecutor, runs: RunsInKeys | None) -> Iterator[Object]:
    """The objects of all parts, one page of each active part in turn, without earlier runs.

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
        yield from _kept(bucket, page, runs)


def _start(bucket: _Bucket, part: _Part, pool: ThreadPoolExecutor) -> None:
    if part.known is None:
        part.next_page = pool.submit(bucket.page, part.prefix, "", None)
