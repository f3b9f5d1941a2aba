#!/usr/bin/env bash
# etcd 3.4.23 (3.5.16 too): the TTL that a lease was asked for is neither what it gets nor what is
# left of it after a restart.
#
# Behaviour: (a) the server raises a short TTL to one and a half times its election time-out, 15 s
# with --election-timeout 10000; TTL 0 and -1 are granted just so instead of being refused. (b) what
# is left of a lease lives in the leader's memory only: a restart gives every lease its full TTL
# again, also one whose owner is long dead.
# Guessed: that TTL=1 ends after a second, that -1 is an error, and that a key of a dead owner is
# gone at the latest one TTL after its last renewal.
# Seen: asked for 1, 0, -1 and 14: granted 15 each; asked for 16: 16. A lease of 30 with 22 left after
# 7 s, then two restarts: 29 or 30 left after each; its key is still there.
# Source: etcd-io/etcd#9395 and #13294 (not going to change; lease checkpoints, off by default, every 5
# minutes).
# For users of a mirror: fail-over takes up to a full TTL after the *last restart* of etcd, not after
# the owner's death; read the granted TTL from the answer and wait by it.
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
import sys, time
from server import Etcd, b64, require

slow = Etcd(sys.argv[1], "--heartbeat-interval", "1000", "--election-timeout", "10000", name="slow")
granted = {asked: int(slow.ask("lease/grant", TTL=asked)["TTL"]) for asked in (1, 0, -1, 14, 16)}
slow.end()
print("election time-out 10 s, TTL asked for: granted", granted)

etcd = Etcd(sys.argv[1], name="plain")
lease = etcd.ask("lease/grant", TTL=30)["ID"]
etcd.put("/owner", "dead", lease=lease)


def left():
    return int(etcd.ask("lease/timetolive", ID=lease).get("TTL", -1))


lefts = []
for restart in range(2):
    time.sleep(7)
    before = left()
    etcd.end()
    etcd.start()
    lefts.append((before, left()))
    print(f"TTL 30, nobody renews: {before} s left, after a restart {lefts[-1][1]} s")
there = "kvs" in etcd.ask("kv/range", key=b64("/owner"))
print(f"the key of the dead owner is {'still there' if there else 'gone'}")
require(granted == {1: 15, 0: 15, -1: 15, 14: 15, 16: 16}, "short TTLs are raised to 1.5 election time-outs")
require(all(before <= 24 and after >= before + 3 and after >= 25 for before, after in lefts),
        "a restart gives the full TTL again")
require(there, "the key lives on")
PYTHON
timeout 75 python3 "$box/run.py" "$etcd"
