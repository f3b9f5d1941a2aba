# The version comes from a build argument, since the build context carries no git folder:
#   docker build --build-arg VERSION="$(python3 -m setuptools_scm)" -t zk2etcd .
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
# Read-only root file system: only /tmp is written to, make it a tmpfs.
ENV PATH=/opt/zk2etcd/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# A number, so that Kubernetes can see that it is not root. It needs no home and no name.
USER 10001:10001
WORKDIR /etc/zk2etcd
# In a pod: http.listen 0.0.0.0:9180, and a token for what changes something.
EXPOSE 9180
# Its own loop turns, whatever the servers do; no proxy, no shell. Kubernetes has its own probes.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import http.client as h, sys; c = h.HTTPConnection('127.0.0.1', 9180, timeout=4); c.request('GET', '/livez'); sys.exit(c.getresponse().status != 200)"]
# zk2etcd is process 1: it reaps orphans and handles SIGTERM itself.
ENTRYPOINT ["zk2etcd"]
CMD ["-c", "/etc/zk2etcd/config.yaml"]
