# The dependencies alone: make/shell_docker mounts the repository at run time. CUDA libraries come with PyTorch.
FROM nvidia/cuda:13.0.2-base-ubuntu24.04

# hadolint ignore=DL3008
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        ca-certificates git python3 python3-pip python3-venv \
    && rm -rf /var/lib/apt/lists/*

# Ubuntu's image already has a user 1000, so ids may repeat.
ARG UID=1000
ARG GID=1000
RUN groupadd --non-unique --gid "$GID" inbetween \
    && useradd --no-log-init --non-unique --uid "$UID" --gid "$GID" --create-home inbetween \
    && install -d -o "$UID" -g "$GID" /opt/venv /opt/inbetween

ENV HOME=/home/inbetween \
    INBETWEEN_VENV=/opt/venv \
    NUMBA_CACHE_DIR=/tmp/numba_cache \
    PATH=/opt/venv/bin:$PATH
USER $UID:$GID
WORKDIR /opt/inbetween
COPY --chown=$UID:$GID pyproject.toml ./
COPY --chown=$UID:$GID make make
# There is no driver while the image is built.
RUN PIP_NO_CACHE_DIR=1 INBETWEEN_TORCH=cuda make/setup gpu train

CMD ["bash"]
