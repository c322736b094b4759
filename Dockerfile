# One image for the workers of Dataflow and Flink, and for local jobs: docs/engines.md.
#
#   docker build -t alphabeam:0.2.0-py3.11-beam2.77.0 .
#   docker run --rm -v "$PWD:/work" -w /work --entrypoint alphabeam \
#     alphabeam:0.2.0-py3.11-beam2.77.0 configs/samples.yaml
#
# Python and Beam are those of the launcher that submits jobs. The model is inside; nothing is
# downloaded when a container starts.
ARG PYTHON=3.11
ARG BEAM=2.77.0

FROM apache/beam_python${PYTHON}_sdk:${BEAM} AS build
WORKDIR /source
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

# One program, the same for every version of Python. Image and tag are those that Google's samples
# pin: GoogleCloudPlatform/python-docs-samples, dataflow/flex-templates/pipeline_with_dependencies.
FROM gcr.io/dataflow-templates-base/python311-template-launcher-base:20230622_RC00 AS launcher

FROM apache/beam_python${PYTHON}_sdk:${BEAM}
ARG BEAM
# fsspec's libraries for the stores: gcs, s3, azure, sftp, http
ARG EXTRAS=gcs,s3,http
# The wheel's name has its version.
# hadolint ignore=DL3013
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    wheel="$(echo /wheels/alphabeam-*.whl)" && \
    pip install --no-cache-dir "${wheel}[${EXTRAS}]" "apache-beam==${BEAM}"
# The base image's entry point starts a worker.
# Jobs that a Flex template of Dataflow launches are started from this image too.
COPY --from=launcher /opt/google/dataflow/python_template_launcher \
    /opt/google/dataflow/python_template_launcher
COPY pipelines/flex_launch.py /opt/alphabeam/launch.py
ENV FLEX_TEMPLATE_PYTHON_PY_FILE=/opt/alphabeam/launch.py
