# The image of every pod, in two variants:
#
#   docker build --target cpu  --tag registry/cleanplate:0.1.0-cpu  .
#   docker build --target cuda --tag registry/cleanplate:0.1.0-cuda .
#
# Every package is pinned by constraints.txt. torch's own wheel brings CUDA; the driver comes from the node.
ARG PYTHON=3.11.14-slim-bookworm

FROM python:${PYTHON} AS build-cpu
WORKDIR /source
RUN python -m venv /opt/cleanplate
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY cleanplate cleanplate
COPY cluster cluster
COPY flows flows
COPY operators operators
RUN /opt/cleanplate/bin/pip install --no-cache-dir --constraint constraints.txt '.[cluster,google,serve]'

FROM build-cpu AS build-cuda
RUN /opt/cleanplate/bin/pip install --no-cache-dir --constraint constraints.txt '.[cluster,diffusion,google,serve]'

FROM python:${PYTHON} AS runtime
RUN useradd --uid 1000 --user-group --no-create-home cleanplate
ENV PATH=/opt/cleanplate/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    RAY_USAGE_STATS_ENABLED=0 \
    MALLOC_ARENA_MAX=1 \
    MALLOC_MMAP_THRESHOLD_=33554432 \
    MALLOC_TRIM_THRESHOLD_=201326592 \
    ARROW_DEFAULT_MEMORY_POOL=system \
    HOME=/tmp \
    CLEANPLATE_CACHE=/models
RUN install --directory --owner=cleanplate --group=cleanplate /models
WORKDIR /tmp
USER 1000:1000
CMD ["cleanplate", "--help"]

FROM runtime AS cuda
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=build-cuda /opt/cleanplate /opt/cleanplate

FROM runtime AS cpu
COPY --from=build-cpu /opt/cleanplate /opt/cleanplate
