# The service in one image. Alone it keeps its data in an embedded server below /data:
#
#   docker build -t uoro .
#   docker run --read-only --tmpfs /tmp -v uoro-data:/data -p 127.0.0.1:8000:8000 -e UORO_ALLOW_ANONYMOUS=true uoro
#
# Inside a container it must listen on every address to be reached, and without keys it refuses to unless
# UORO_ALLOW_ANONYMOUS=true says that this is meant; publish the port on 127.0.0.1 then, as above. With keys it is
# not needed: -v ./keys:/keys:ro -e UORO_API_KEYS_FILE=/keys/keys.json, the file readable for user 10001. Mount the
# directory, not the file: a change puts a new file in its place, which a mount of the old one would not show.
# Every other setting is an environment variable too: docker run --rm uoro serve --help

FROM python:3.12-slim AS builder

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/venv
WORKDIR /build

# First what changes least and weighs most: torch for CPUs, at the version of the constraints.
COPY constraints.txt ./
RUN /opt/venv/bin/pip install --index-url https://download.pytorch.org/whl/cpu -c constraints.txt torch

COPY pyproject.toml README.md LICENSE ./
COPY clients/python clients/python
COPY service service
RUN /opt/venv/bin/pip install -c constraints.txt ./clients/python .


FROM python:3.12-slim

RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin uoro \
    && install --directory --owner=uoro --group=uoro --mode=0700 /data
COPY --from=builder /opt/venv /opt/venv

ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    UORO_HOST=0.0.0.0 \
    UORO_PORT=8000 \
    UORO_DATA_DIR=/data \
    NUMBA_CACHE_DIR=/data/kernel \
    UORO_LOG_FORMAT=json

USER 10001
WORKDIR /data
VOLUME /data
EXPOSE 8000

HEALTHCHECK --interval=10s --timeout=5s --start-period=120s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f\"http://127.0.0.1:{os.environ['UORO_PORT']}/readyz\", timeout=4)"]

ENTRYPOINT ["uoro"]
CMD ["serve"]
