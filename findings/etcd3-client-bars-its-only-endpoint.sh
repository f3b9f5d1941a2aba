#!/usr/bin/env bash
# cslab-etcd3 0.12.1 (module etcd3, etcd 3.4.23): one UNAVAILABLE bars the only endpoint for 300 s.
#
# Behaviour: while etcd is away, the first call raises ConnectionFailedError, each later one
# ValueError("Trying to use a failed node"), without sending anything; and so it stays, with etcd
# back and healthy, for time_retry = 300 s, which etcd3.client() has no argument for. A second
# client to the same address works meanwhile.
# Guessed: that each failed call raises the library's own Etcd3Exception, and that the client works
# again as soon as etcd does, as the gRPC channel below it would.
# Seen: ConnectionFailedError once, then ValueError three times; etcd restarted, a fresh client reads
# the key, the old one still raises ValueError; after `last_failed` is set back by hand it reads too.
# Source: the endpoint's own code (use(), time_retry); the class is the same in the forks of today.
# For users of a mirror: a reader with `except Etcd3Exception` and a retry dies on a restart of etcd
# or spins for five minutes; make a new client after a connection error, or use the stubs.
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

# unpack SUITE PACKAGE=VERSION...: into $box/root, through this machine's own apt source with the
# suite's name replaced. Nothing is installed.
unpack() {
    local suite=$1 list parts own file
    shift
    eval "$(apt-config shell list Dir::Etc::sourcelist/f parts Dir::Etc::sourceparts/d)"
    own=$(. /etc/os-release && echo "$VERSION_CODENAME")
    mkdir -p "$box"/apt/{parts,state/lists/partial,cache/archives/partial} "$box/debs" "$box/root"
    touch "$box/apt/status"
    for file in "$list" "$parts"*.list; do
        [ ! -e "$file" ] || sed -nE "s/^(deb .*) $own /\\1 $suite /p" "$file" >>"$box/apt/parts/own.list"
    done
    for file in "$parts"*.sources; do
        [ ! -e "$file" ] || awk -v RS= -v suite="$suite" -v own="$own" '
            $0 ~ "(^|\n)Suites:([^\n]* )?" own "([ \n]|$)" {
                gsub(/(^|\n)#[^\n]*/, ""); sub(/Suites:[^\n]*/, "Suites: " suite); print $0 "\n"
            }' "$file" >>"$box/apt/parts/own.sources"
    done
    cat >"$box/apt/conf" <<CONF
Dir::State "$box/apt/state";
Dir::State::status "$box/apt/status";
Dir::Cache "$box/apt/cache";
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "$box/apt/parts";
APT::Sandbox::User "$(id -un)";
Acquire::Languages "none";
Acquire::Check-Valid-Until "false";
APT::Update::Error-Mode "any";
CONF
    APT_CONFIG=$box/apt/conf apt-get update -qq >"$box/apt/log" 2>&1 || { cat "$box/apt/log"; exit 1; }
    (cd "$box/debs" && APT_CONFIG=$box/apt/conf apt-get download -qq "$@") >"$box/apt/log" 2>&1 ||
        { cat "$box/apt/log"; exit 1; }
    for file in "$box"/debs/*.deb; do dpkg-deb --extract "$file" "$box/root"; done
}

if etcd --version 2>/dev/null | grep -x 'etcd Version: 3.4.23' >/dev/null; then
    etcd=$(command -v etcd)
else
    unpack bookworm 'etcd-server=3.4.23-4*'
    etcd=$box/root/usr/bin/etcd
fi
"$etcd" --version | sed -n 1p

python3 -m venv --without-pip "$box/venv"
python3 -m pip --python "$box/venv/bin/python" install -q --disable-pip-version-check --no-compile \
    cslab-etcd3==0.12.1 grpcio==1.85.3 protobuf==7.36.2 typing-extensions==4.15.0 six==1.17.0 >"$box/pip.log" 2>&1 || { cat "$box/pip.log"; exit 1; }

cat >"$box/server.py" <<'PYTHON'
"""One etcd on free ports of the loopback, asked through its own JSON gateway."""
import base64, json, os, socket, subprocess, sys, time, urllib.error, urllib.request

BOX = os.path.dirname(os.path.abspath(__file__))


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def b64(text):
    return base64.b64encode(text.encode()).decode()


def text(coded):
    return base64.b64decode(coded).decode()


def require(holds, what):
    if not holds:
        sys.exit(f"NO LONGER SO: {what}")


class Etcd:
    def __init__(self, binary, *flags, name="etcd"):
        self.binary, self.flags, self.data = binary, flags, f"{BOX}/{name}"
        self.port, self.peer = free_ports(2)
        self.start()

    def start(self):
        own, peer = (f"http://127.0.0.1:{port}" for port in (self.port, self.peer))
        with open(f"{self.data}.log", "ab") as log:
            self.process = subprocess.Popen(
                [self.binary, "--data-dir", self.data, "--listen-client-urls", own,
                 "--advertise-client-urls", own, "--listen-peer-urls", peer,
                 "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}",
                 *self.flags], stdout=log, stderr=log)
        with open(f"{BOX}/pids", "a") as pids:
            print(self.process.pid, file=pids)
        deadline = time.monotonic() + 40
        while True:
            try:
                if "error" not in self.ask("kv/range", key=b64("x")):
                    return
            except OSError:
                pass
            if time.monotonic() > deadline or self.process.poll() is not None:
                sys.exit(f"etcd did not start: {open(self.data + '.log').read()[-2000:]}")
            time.sleep(0.1)

    def end(self):
        self.process.kill()
        self.process.wait()

    def ask(self, what, **body):
        """The answer; of a refusal, what etcd said, as {"error": ...}."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/v3/{what}", json.dumps(body).encode())
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as refusal:
            return {"error": json.load(refusal)["message"]}

    def put(self, key, value, **more):
        return self.ask("kv/put", key=b64(key), value=b64(value), **more)
PYTHON

cat >"$box/run.py" <<'PYTHON'
import inspect, sys, time

import etcd3

from server import Etcd, require


def outcome(client):
    try:
        return client.get("k")[0].decode()
    except Exception as error:  # whatever it is: the kind is the finding
        return f"{type(error).__name__}({error})"


etcd = Etcd(sys.argv[1])
client = etcd3.client("127.0.0.1", etcd.port, timeout=5)
client.put("k", "value")
print("etcd up:", outcome(client))
etcd.end()
down = [outcome(client) for _ in range(4)]
print("etcd down, four calls:", *down, sep="\n  ")
etcd.start()
fresh = etcd3.client("127.0.0.1", etcd.port, timeout=5)
deadline = time.monotonic() + 20
while (new := outcome(fresh)) != "value" and time.monotonic() < deadline:
    fresh = etcd3.client("127.0.0.1", etcd.port, timeout=5)
    time.sleep(0.5)
old = [outcome(client)]
time.sleep(3)
old.append(outcome(client))
print("etcd back: a fresh client:", new)
print("etcd back: the old client:", *old, sep="\n  ")
endpoint = client.endpoint_in_use
print("time_retry of its endpoint:", endpoint.time_retry, "s; an argument of client():",
      "time_retry" in inspect.signature(etcd3.client).parameters)
endpoint.last_failed = 0
deadline = time.monotonic() + 20
while (freed := outcome(client)) != "value" and time.monotonic() < deadline:
    endpoint.last_failed = 0
    time.sleep(0.5)
print("the old client with last_failed set back:", freed)
require(down[0].startswith("ConnectionFailedError"), "the first failure is a connection error")
require(all(each.startswith("ValueError") for each in down[1:] + old), "later calls raise ValueError")
require(not issubclass(ValueError, etcd3.Etcd3Exception), "which is none of the library's")
require(new == freed == "value", "etcd itself is well")
PYTHON
timeout 60 "$box/venv/bin/python" "$box/run.py" "$etcd"
