#!/usr/bin/env bash
# etcd 3.4.23 (3.5.16 too): a compare on the VALUE of a missing key is false whatever it asks.
#
# Behaviour: for a key that does not exist, value == "x", value != "x", value < "x" and value > "x"
# are all false; so is every one of them over a range without keys. Compares on MOD, CREATE, VERSION
# and LEASE take a missing key as 0, so there exactly one of ==, < and > holds and != is true.
# Guessed: that "not equal" is the opposite of "equal", so that the guard "write unless it is already
# so" (value != new) also writes a key that is not there yet.
# Seen: VALUE: none of four; MOD, CREATE, VERSION, LEASE: != and < of a number above 0. A txn "if
# value != new, then put new" leaves the missing key missing; inverted (if value == new, else put) it
# is written.
# Source: etcd-io/etcd#10566, #19678 (documentation still open).
# For users of a mirror: a guarded write that skips equal values must stand in the else branch, or
# compare mod_revision; otherwise exactly the new keys are never mirrored.
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
import sys
from server import Etcd, b64, require, text

etcd = Etcd(sys.argv[1])
RESULTS = ("EQUAL", "NOT_EQUAL", "LESS", "GREATER")


def holds(target, result, **operand):
    answer = etcd.ask("kv/txn", compare=[{"key": b64("/missing"), "target": target, "result": result, **operand}])
    require("error" not in answer, f"etcd takes the compare: {answer}")
    return answer.get("succeeded", False)


true = {}
for target, operand in (
    ("VALUE", {"value": b64("x")}), ("VALUE of an empty range", {"value": b64("x"), "range_end": b64("/missing0")}),
    ("MOD", {"mod_revision": 5}), ("CREATE", {"create_revision": 5}),
    ("VERSION", {"version": 5}), ("LEASE", {"lease": 5}),
):
    true[target] = [result for result in RESULTS if holds(target.split()[0], result, **operand)]
    print(f"{target}: true are {', '.join(true[target]) or 'none'}")


def written(result, branch, key):
    etcd.ask("kv/txn", compare=[{"key": b64(key), "target": "VALUE", "result": result, "value": b64("new")}],
             **{branch: [{"requestPut": {"key": b64(key), "value": b64("new")}}]})
    return "kvs" in etcd.ask("kv/range", key=b64(key))


plain, inverted = written("NOT_EQUAL", "success", "/a"), written("EQUAL", "failure", "/b")
print(f"if value != new then put: the missing key was {'written' if plain else 'NOT written'}")
print(f"if value == new, else put: the missing key was {'written' if inverted else 'NOT written'}")
require(not true["VALUE"] and not true["VALUE of an empty range"], "no VALUE compare holds")
require(all(true[t] == ["NOT_EQUAL", "LESS"] for t in ("MOD", "CREATE", "VERSION", "LEASE")), "the others see 0")
require(not plain and inverted, "only the inverted guard writes")
PYTHON
timeout 60 python3 "$box/run.py" "$etcd"
