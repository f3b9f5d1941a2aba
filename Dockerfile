# The version comes from the build argument, since the build context carries no git folder:
#   docker build --build-arg VERSION=0.1.0 -t zk2etcd .
FROM python:3.11-slim AS build
ARG VERSION=0.1.0
ENV SETUPTOOLS_SCM_PRETEND_VERSION_FOR_ZK2ETCD=${VERSION}
WORKDIR /src
COPY setup.cfg pyproject.toml README.md ./
COPY zk2etcd zk2etcd
COPY workers workers
RUN python -m venv /opt/zk2etcd && /opt/zk2etcd/bin/pip install --no-cache-dir '.[sasl]'

FROM python:3.11-slim
COPY --from=build /opt/zk2etcd /opt/zk2etcd
RUN useradd --system --uid 10001 --no-create-home zk2etcd
USER 10001
ENV PATH=/opt/zk2etcd/bin:$PATH PYTHONUNBUFFERED=1
# In a pod: http.listen 0.0.0.0:9180, and a token for what changes something.
EXPOSE 9180
# zk2etcd is process 1: it reaps orphans and handles SIGTERM itself.
ENTRYPOINT ["zk2etcd"]
CMD ["-c", "/etc/zk2etcd/config.yaml"]
