# One image for every service. `slim` runs networks on the processor; `gpu` brings CUDA and ONNX Runtime built for it.
# Weights are in neither: `rollcall models pull` fetches them into a volume.

FROM rust:1.95-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends cmake g++ libopenblas-dev liblapack-dev
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --release --locked && cp target/release/rollcall /rollcall

FROM debian:bookworm-slim AS slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
       ca-certificates curl ffmpeg libgomp1 liblapack3 libopenblas0-pthread python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/rollcall rollcall \
    && install -d -o rollcall /var/lib/rollcall/keys /var/lib/rollcall/models /var/lib/rollcall/snapshots
COPY --from=build /rollcall /usr/local/bin/rollcall
USER rollcall
WORKDIR /var/lib/rollcall
ENV ROLLCALL_FACE__MODELS_DIR=/var/lib/rollcall/models
ENTRYPOINT ["rollcall"]
CMD ["--help"]

# The version of ONNX Runtime is the one that `rollcall models pull` pins; this build of it wants CUDA 13.
FROM nvidia/cuda:13.0.1-cudnn-runtime-ubuntu24.04 AS gpu
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
       ca-certificates curl ffmpeg libgomp1 liblapack3 libopenblas0-pthread python3 python3-pip python3-venv unzip \
    && rm -rf /var/lib/apt/lists/*
RUN pip download --no-deps --only-binary=:all: --python-version 3.11 --platform manylinux_2_28_x86_64 \
        --dest /tmp/wheel onnxruntime-gpu==1.28.0 \
    && unzip -j /tmp/wheel/*.whl 'onnxruntime/capi/libonnxruntime*' -d /opt/onnxruntime && rm -r /tmp/wheel
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/rollcall rollcall \
    && install -d -o rollcall /var/lib/rollcall/keys /var/lib/rollcall/models /var/lib/rollcall/snapshots
COPY --from=build /rollcall /usr/local/bin/rollcall
USER rollcall
WORKDIR /var/lib/rollcall
ENV ORT_DISABLE_TELEMETRY=1 \
    ROLLCALL_FACE__MODELS_DIR=/var/lib/rollcall/models \
    ROLLCALL_FACE__ONNXRUNTIME=/opt/onnxruntime/libonnxruntime.so.1.28.0 \
    ROLLCALL_FACE__PROVIDER=cuda
ENTRYPOINT ["rollcall"]
CMD ["--help"]
