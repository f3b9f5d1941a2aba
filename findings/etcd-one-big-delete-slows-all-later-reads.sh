#!/usr/bin/env bash
# etcd 3.4.23 (3.5.16 and 3.5.30 too): one delete of many keys makes each later read dearer, until a restart.
#
# Behaviour: a read that comes after a write copies the buffer of what is not committed yet. That buffer
# grows to the largest number of changes that ever came between two commits, is emptied by a commit but
# never made smaller, and is copied with its empty places. A commit comes each 100 ms or 10,000 changes, but
# never within one Txn: so a single DeleteRange of n keys leaves room for n, and each read after a put, each
# Txn too in 3.4, copies that much from then on. Keys that are put little by little leave nothing.
# Guessed: that a delete costs once; that a read of one key costs the same before and after.
# Seen: 200,000 keys deleted at once: a put with a read of one key takes 2.6 to 3.2 times as long as with those
# keys there, still so 8 s later, with next to nothing in the store, and as before after a restart.
# Source: txBuffer.reset and the copy of a bucketBuffer in etcd's backend/tx_buffer.go; the development branch
# copies only what is used (CopyUsed). A profile of 3.4.23 showed it under ConcurrentReadTx.
# For users of a mirror: delete a large range in parts (some thousands of keys each), or restart the members one
# by one afterwards; a Txn of ours has at most 3,968 operations.
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
import statistics, sys, time
from server import Etcd, b64, require

KEYS, PART, ROUNDS = 200_000, 128, 100
etcd = Etcd(sys.argv[1])


def fill(folder):
    for start in range(0, KEYS, PART):
        etcd.ask("kv/txn", success=[
            {"requestPut": {"key": b64(f"/{folder}/{n:07d}"), "value": b64("v")}}
            for n in range(start, min(KEYS, start + PART))])


def cost(what):
    """The median milliseconds of a put and a read of one key, once all before is committed."""
    time.sleep(1)
    took = []
    for _ in range(ROUNDS):
        at = time.perf_counter()
        etcd.put("one", "v")
        require(etcd.ask("kv/range", key=b64("one"))["count"] == "1", "one key in the answer")
        took.append(1000 * (time.perf_counter() - at))
    print(f"a put and a read of one key, {what}: median {statistics.median(took):.2f} ms")
    return statistics.median(took)


fill("a")
full = cost(f"{KEYS:,} keys there, put {PART} at a time")
etcd.ask("kv/deleterange", key=b64("/a/"), range_end=b64("/a0"))
after = cost("all of them deleted at once")
time.sleep(8)
later = cost("8 s later")
etcd.end()
etcd.start()
anew = cost("after a restart")
print(f"times as long: {after / full:.1f}, {later / full:.1f}; after the restart {anew / full:.1f}")
require(after > 1.7 * full and later > 1.7 * full, "one big delete makes later reads dearer")
require(later > 1.7 * anew, "a restart mends it")
PYTHON
timeout 80 python3 "$box/run.py" "$etcd"
