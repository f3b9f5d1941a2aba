#!/usr/bin/env bash
# grpcio 1.85.3: grpc.keepalive_timeout_ms does not end a connection whose peer went silent.
#
# Behaviour: with keepalive_time 1 s and keepalive_timeout 2 s, a stream over a connection whose
# peer still acknowledges TCP but passes no byte on stays open; the keepalive ping that gets no
# answer ends it only after the *other* option, grpc.http2.ping_timeout_ms, whose default is 60 s.
# Set to 2 s, that one ends the stream in 2 to 4 s, with keepalive_timeout_ms or without it.
# Guessed: from its description ("waits for an acknowledgement ... within this time, it will close
# the connection", grpc's doc/keepalive.md): that the stream fails after 3 s at the latest.
# Seen: keepalive_timeout 2 s: still open after 12 s (by hand: ended after 60.5 s, "ping timeout").
# ping_timeout 2 s: UNAVAILABLE, "Stream removed (ping timeout)" after 2.5 s. keepalive_timeout 2 s
# with ping_timeout 6 s: after 6.5 s.
# Source: none found in the tracker; doc/keepalive.md of grpc/grpc (#15995, #25730) says otherwise.
# For users of a mirror: behind a load balancer or NAT that drops connections silently, watches and
# lease keepalives of a Python client hang for a minute; set grpc.http2.ping_timeout_ms.
set -euo pipefail

# Never longer than this, installation included.
[ -n "${BOUNDED:-}" ] || exec env BOUNDED=1 timeout -k 5 85 bash "$0" "$@"

box=$(mktemp -d)
touch "$box/pids"
finish() { # ends what was started, each by its own pid
    while read -r pid; do kill -9 "$pid" 2>/dev/null || true; done <"$box/pids"
    rm -rf "$box" 2>/dev/null || { sleep 1; rm -rf "$box"; }
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

python3 -m venv --without-pip "$box/venv"
python3 -m pip --python "$box/venv/bin/python" install -q --disable-pip-version-check --no-compile \
    grpcio==1.85.3 typing-extensions==4.15.0 >"$box/pip.log" 2>&1 || { cat "$box/pip.log"; exit 1; }

cat >"$box/run.py" <<'PYTHON'
import os, socket, sys, threading, time
from concurrent import futures

import grpc

silent = threading.Event()
ended = threading.Event()


class Server(grpc.GenericRpcHandler):
    """One method: says hello, then keeps the stream open, as a watch without changes is."""

    def service(self, details):
        def stream(request, context):
            yield b"hello"
            ended.wait()
        return grpc.unary_stream_rpc_method_handler(stream)


server = grpc.server(futures.ThreadPoolExecutor(8), options=[
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 100),
    ("grpc.http2.max_ping_strikes", 0)])
server.add_generic_rpc_handlers([Server()])
port = server.add_insecure_port("127.0.0.1:0")
server.start()
relay = socket.create_server(("127.0.0.1", 0))


def pump(source, target):
    """Passes bytes on; once silent, reads and drops them, so that TCP itself stays healthy."""
    try:
        while data := source.recv(65536):
            if not silent.is_set():
                target.sendall(data)
    except OSError:
        pass


def accept():
    while True:
        near, far = relay.accept()[0], socket.create_connection(("127.0.0.1", port))
        for pair in ((near, far), (far, near)):
            threading.Thread(target=pump, args=pair, daemon=True).start()


threading.Thread(target=accept, daemon=True).start()
PINGS = [("grpc.keepalive_time_ms", 1000), ("grpc.keepalive_permit_without_calls", 1),
         ("grpc.http2.max_pings_without_data", 0), ("grpc.use_local_subchannel_pool", 1)]


def seconds_until_ended(what, patience, **options):
    silent.clear()
    pairs = [(f"grpc.{name.replace('http2_', 'http2.')}", value) for name, value in options.items()]
    channel = grpc.insecure_channel("127.0.0.1:%d" % relay.getsockname()[1], options=PINGS + pairs)
    stream = channel.unary_stream("/a/stream")(b"", timeout=60)
    assert next(stream) == b"hello"
    time.sleep(0.5)
    silent.set()
    began, result = time.monotonic(), []

    def wait():
        try:
            next(stream)
        except grpc.RpcError as error:
            result.append((time.monotonic() - began, error.code().name, error.details()))

    waiter = threading.Thread(target=wait, daemon=True)
    waiter.start()
    waiter.join(patience)
    print(f"{what}: " + ("ended after {:.1f} s, {}, {}".format(*result[0]) if result
                         else f"still open after {patience} s"), flush=True)
    seconds = result[0][0] if result else None
    channel.close()
    return seconds


print("grpcio", grpc.__version__)
keepalive = seconds_until_ended("keepalive_timeout 2 s", 12, keepalive_timeout_ms=2000)
ping = seconds_until_ended("http2.ping_timeout 2 s", 15, http2_ping_timeout_ms=2000)
both = seconds_until_ended("keepalive_timeout 2 s, http2.ping_timeout 6 s", 15,
                           keepalive_timeout_ms=2000, http2_ping_timeout_ms=6000)
so = keepalive is None and ping is not None and both is not None and both > 5.5
print("" if so else "NO LONGER SO", end="", flush=True)
os._exit(0 if so else 1)  # a stream that nobody ends must not hold the exit
PYTHON
timeout 70 "$box/venv/bin/python" "$box/run.py"
