"""The service on a Ray cluster: replicas of Ray Serve do what processes do on one machine.

There are two applications. `cleanplate-workers` has the models: each replica is a process pool of
one, so a picture that takes its process down, or takes too long, costs no replica. `cleanplate` is
the FastAPI application of `cleanplate serve`, in one replica, so that there is one queue, one rate
limit, and one measurement of rates. It ends first, so that open requests still find workers.

`front` and `workers` are builders, which a RayService names; see `cluster/kubernetes`.
"""

# Ray Serve reads the type of a builder's parameter, so annotations are no strings here.

import asyncio
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict
from ray import serve
from ray.exceptions import RayActorError
from ray.serve.exceptions import RayServeException

from cluster.profile import LAPTOP, Profile, Stage, fit_cluster, load
from flows.engine.session import alive_nodes
from flows.flow import Flow
from flows.serve.app import Settings, application
from flows.serve.measured_rates import MeasuredRates
from flows.serve.pool import ProcessPool
from flows.serve.wishes import Erase
from flows.serve.work import Answer, Task, WrongRequest, batch_size, rolled_back
from operators.decisions.budget import Rate
from operators.generators.call_account import USUAL_CALLS, CallLimits
from operators.models.service import is_service
from operators.pictures.codec import Limits
from operators.rows.failure import RunError

FRONT, WORKERS = "cleanplate", "cleanplate-workers"
"""The names of the two applications."""
WORKER = "worker"
"""The name of the deployment with the models."""
TOKEN_VARIABLE = "CLEANPLATE_TOKEN"
DRAINING_SECONDS = 30.0
"""How long open requests may take when the service ends."""


class Options(BaseModel):
    """The options of `cleanplate serve`, as the arguments of both applications."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    profile: str = LAPTOP
    """The profile whose stages say what a replica reserves; see `replica_stage`."""
    workers: int | None = None
    """Replicas; None lets their number follow the pool of the profile."""
    seconds: float = 120.0
    queue: int = Settings.queue
    rate: int = Settings.per_minute
    max_pixels: int = Settings.limits.max_pixels
    max_bytes: int = Settings.limits.max_bytes
    allow: tuple[str, ...] = ()
    model: tuple[str, ...] = ()
    calls: CallLimits = CallLimits(USUAL_CALLS)
    calls_in: str = ""
    needs_token: bool = True
    """Whether the service refuses to start without a token; only one that listens to its own
    machine alone may do without.
    """

    @property
    def limits(self) -> Limits:
        """The limits of a picture."""
        return replace(Settings.limits, max_pixels=self.max_pixels, max_bytes=self.max_bytes)

    def settings(self) -> Settings:
        """The settings of the application; the token is that of the environment.

        Raises RunError option_invalid without a token that is needed, and for a model over HTTP
        whose calls nobody could count.
        """
        if any(map(is_service, self.model)) and "://" not in self.calls_in:
            raise RunError("option_invalid", "--ray with a model over HTTP needs --calls-in URL, which all machines reach")
        token = os.environ.get(TOKEN_VARIABLE, "")
        if self.needs_token and not token:
            raise RunError("option_invalid", f"others can reach the service: set {TOKEN_VARIABLE}")
        return Settings(self.limits, self.queue, self.rate, token, self.allow, self.model, self.calls, self.calls_in)

    def stage(self) -> Stage:
        """What a replica reserves on the cluster to which this process is connected."""
        profile = fit_cluster(load(self.profile), alive_nodes())
        flows = [Erase(model=model).flow(self.limits, (), "") for model in (None, *self.model)]
        stage = replica_stage(profile, flows)
        return stage if self.workers is None else stage.model_copy(update={"pool": (self.workers, self.workers)})


def replica_stage(profile: Profile, flows: Sequence[Flow]) -> Stage:
    """What a process reserves that does all stages of these flows, one after the other.

    It is the largest share of a GPU, of the cores and of the memory that one of the stages has in
    the profile, on the nodes of the stage with the largest share of a GPU, and in its number.
    """
    stages = [stage for flow in flows for stage in flow.lay_out(profile)[0].stages.values()]
    main = max(stages, key=lambda stage: (stage.gpus, stage.cpus, bool(stage.pool)))
    memory = max((stage.memory for stage in stages if stage.memory), default=None)
    cpus = max(stage.cpus for stage in stages)
    return main.model_copy(update={"cpus": cpus, "memory": memory, "pool": main.pool or (1, 1), "tasks": None})


class Worker:
    """A replica with the models."""

    async def __init__(self, seconds: float, limits: Limits) -> None:  # type: ignore[misc]
        self._pool = ProcessPool(1, seconds, limits)
        await self._pool.open()

    async def work(self, task: Task) -> Answer | WrongRequest:
        """What `ProcessPool.work` answers or raises; Ray would wrap an exception."""
        try:
            return await self._pool.work(task)
        except WrongRequest as error:
            return error

    async def rates(self, preset: str, model: str | None) -> tuple[Rate, ...]:
        """See `ProcessPool.rates`."""
        return await self._pool.rates(preset, model)

    async def process(self) -> int:
        """The ID of the replica's process."""
        return os.getpid()


@dataclass
class Replicas:
    """The backend of the application on a cluster.

    A request whose replica is lost, with its machine for example, is asked once more.
    """

    workers: int
    """Batches that are worked at the same time, once all replicas are there."""

    def __post_init__(self) -> None:
        self._rates = MeasuredRates(partial(self._ask, "rates"))

    async def open(self) -> None:
        """Wait for the first replica."""
        await self._ask("process")

    async def work(self, task: Task) -> Answer:
        """Work one task in a replica. Raises WrongRequest."""
        for _ in range(2):
            try:
                outcome: Answer | WrongRequest = await self._ask("work", task)
            except (RayActorError, RayServeException):
                continue
            if isinstance(outcome, WrongRequest):
                raise outcome
            return outcome
        return rolled_back(task, "worker_crashed", "two replicas that worked on the picture were lost")

    async def rates(self, preset: str, model: str | None) -> tuple[Rate, ...]:
        """Measured once, by the first replica that is asked, and used for all."""
        return await self._rates.of(preset, model)

    async def close(self) -> None:
        """Nothing: the replicas are another application."""

    async def _ask(self, method: str, *arguments: Any) -> Any:
        response = getattr(serve.get_deployment_handle(WORKER, WORKERS), method).remote(*arguments)
        try:
            return await response
        except asyncio.CancelledError:
            response.cancel()
            raise


@serve.ingress()
class Front:
    """The replica with the application, which Ray Serve asks for it by the name that it gives."""

    def __init__(self, settings: Settings, workers: int) -> None:
        self._settings, self._workers = settings, workers

    def __serve_build_asgi_app__(self) -> FastAPI:
        return application(self._settings, Replicas(self._workers))


def workers(arguments: Options) -> Any:
    """The application with the models, to be run as WORKERS without a route."""
    stage = arguments.stage()
    least, most = stage.pool or (1, 1)
    options = {name: value for name, value in stage.ray_options().items() if value is not None}
    scaling: dict[str, Any] = {"num_replicas": least}
    if least < most:
        scaling = {"autoscaling_config": {"min_replicas": least, "max_replicas": most, "target_ongoing_requests": 1}}
    at_once = max(batch_size(Erase(model=model)) for model in (None, *arguments.model))
    return (
        serve.deployment(Worker)
        .options(
            name=WORKER,
            max_ongoing_requests=at_once,
            graceful_shutdown_timeout_s=DRAINING_SECONDS,
            ray_actor_options={"num_cpus": stage.cpus, **options},
            **scaling,
        )
        .bind(arguments.seconds, arguments.limits)
    )


def front(arguments: Options) -> Any:
    """The application that answers HTTP, to be run as FRONT at the route `/`."""
    _, most = arguments.stage().pool or (1, 1)
    settings = arguments.settings()
    return (
        serve.deployment(Front)
        .options(
            name="front",
            num_replicas=1,
            # The application bounds its requests itself, and answers others at any time.
            max_ongoing_requests=settings.queue + most + 1000,
            graceful_shutdown_timeout_s=DRAINING_SECONDS,
            ray_actor_options={"num_cpus": 0},
        )
        .bind(settings, most)
    )


@contextmanager
def serving(arguments: Options, host: str, port: int) -> Iterator[None]:
    """Both applications run on the connected cluster in this block, and end with it in order."""
    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    serve.start(proxy_location="HeadOnly", http_options={"host": host, "port": port})
    try:
        serve.run(workers(arguments), name=WORKERS, route_prefix=None)
        serve.run(front(arguments), name=FRONT, route_prefix="/")
        yield
    finally:
        for name in (FRONT, WORKERS):
            serve.delete(name)
        if not serve.status().applications:
            serve.shutdown()
