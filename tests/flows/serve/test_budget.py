"""A budget bounds the whole answer, however long the queue is."""

from __future__ import annotations

import asyncio

import requests

from flows.serve.work import Answer, Task
from tests.flows.serve.test_ready import Loading, serving

PICTURE = b"the bytes of a picture"


class Slow(Loading):
    """A backend that takes far longer than any budget. It counts the tasks that are dropped."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded.set()
        self.dropped = 0

    async def work(self, task: Task) -> Answer:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            self.dropped += 1
            raise
        return Answer(task.data, "edited")


def test_a_picture_that_is_not_done_in_its_budget_comes_back_as_it_was_with_the_reason() -> None:
    backend = Slow()
    with serving(backend, []) as url:
        answer = requests.post(f"{url}/v1/erase", PICTURE, params={"budget_ms": 200}, timeout=30)
        assert (answer.status_code, answer.content) == (200, PICTURE)
        assert answer.headers["X-Cleanplate-Verdict"] == "rolled_back"
        assert answer.headers["X-Cleanplate-Reasons"] == '["budget"]'
        assert 'cleanplate_verdicts_total{verdict="rolled_back"} 1.0' in requests.get(f"{url}/metrics", timeout=30).text
        assert backend.dropped == 1
