# Stepwire with its shipped flows: docker build -t stepwire .
# For flows of your own, `stepwire new` writes a Dockerfile of this shape that takes your package too.
#
# Runs as a user without rights, on a root that need not be writable: only /data (a bus or attachments in files), /tmp
# and /app/.stepwire are written to. SIGTERM reaches the worker itself, which drains; give it 90 seconds.
FROM python:3.12-slim AS build
# the system's certificates: a company's own among them, if the base image has it
ENV UV_SYSTEM_CERTS=1
RUN pip install --no-cache-dir 'uv>=0.13,<0.14'
WORKDIR /src
ARG EXTRAS="claude console door kafka mcp otel pdf s3 serve servers"
COPY pyproject.toml uv.lock ./
# the versions that were tested, by hash; a layer of its own, that a change of the code keeps
RUN uv export -q --frozen --no-default-groups --no-emit-project $(printf -- '--extra %s ' $EXTRAS) -o requirements.txt \
    && uv venv -q --no-project /venv \
    && VIRTUAL_ENV=/venv uv pip install -q --compile-bytecode --require-hashes -r requirements.txt
COPY README.md LICENSE ./
COPY kernel kernel
COPY topics topics
COPY handlers handlers
RUN VIRTUAL_ENV=/venv uv pip install -q --compile-bytecode --no-deps .

FROM python:3.12-slim
COPY --from=build /venv /venv
# a new volume takes its owner from the folder it covers
RUN install -d -o 65532 -g 65532 /data /app/.stepwire
ENV PATH=/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 HOME=/tmp \
    STEPWIRE_BUS=sqlite:////data/bus.db STEPWIRE_BLOBS=/data/blobs
WORKDIR /app
USER 65532:65532
VOLUME /data
ENTRYPOINT ["stepwire"]
CMD ["--help"]
