# The command vfi in a container. On a machine with a CPU, and with an NVIDIA GPU:
#   docker build -t vfi .
#   docker build -t vfi:cuda --build-arg TORCH=cu128 .
#   docker run --rm -v "$PWD:/films" vfi interpolate input=film.mkv fps=60
#   docker run --rm --gpus all -v "$PWD:/films" vfi:cuda interpolate input=film.mkv fps=60
# The files belong to user 1000; --user "$(id -u):$(id -g)" where yours is another.
ARG PYTHON=3.11

FROM python:${PYTHON}-slim-bookworm AS wheel
WORKDIR /build
COPY pyproject.toml setup.py README.md LICENSE ./
COPY requirements ./requirements
COPY conf ./conf
COPY vfi_pipeline ./vfi_pipeline
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:${PYTHON}-slim-bookworm
# cpu, or a CUDA build of PyTorch's own index: cu126, cu128, cu130.
ARG TORCH=cpu
# One of none, train, app, cluster, all.
ARG EXTRA=none
ENV PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1
# ffmpeg comes with the imageio-ffmpeg wheel; tini passes Ctrl-C and docker stop on, so that a job stops cleanly.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends tini \
    && rm -rf /var/lib/apt/lists/*
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    set -eu; \
    wheel="$(echo /wheels/*.whl)"; \
    pip install torch torchvision --index-url "https://download.pytorch.org/whl/${TORCH}"; \
    if [ "${EXTRA}" = none ]; then pip install "${wheel}"; else pip install "${wheel}[${EXTRA}]"; fi
RUN useradd --create-home --uid 1000 vfi \
    && mkdir /films \
    && chown vfi:vfi /films
USER vfi
WORKDIR /films
EXPOSE 7860
ENTRYPOINT ["tini", "--", "vfi"]
CMD ["--help"]
