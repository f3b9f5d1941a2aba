#!/usr/bin/env bash
# etcd 3.4.23 (3.5.16 and 3.5.30 too): a Range with limit=1 walks every key up to its range_end.
#
# Behaviour: the answer carries one key and the count of all the others. To know that count etcd
# visits the whole rest of the range in its index, whatever the limit, so the price of one key grows
# with the number of keys behind it. A range_end close to the first key makes the same read cheap.
# Guessed: that limit=1 stops after one key, as a LIMIT on an index does elsewhere; that paging
# through n keys in pages of p costs n, not n * n / p.
# Seen: 150,000 keys; limit=1 to the end of all takes about half again with half of them behind, and
# some 20 to 60 times as long as limit=1 with a range_end 100 keys away, or from the last 100 keys.
# Source: etcd-io/etcd#11057 (closed as stale); #11990 pushed the limit down and was undone, since
# Kubernetes needs the count; #16510 asks for a mode without it.
# For users of a mirror: each "is there any key below this prefix?" and each page of a scan is
# charged by what follows; give every probe and page of a big keyspace a near end.
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

KEYS = 150_000
etcd = Etcd(sys.argv[1])
for start in range(0, KEYS, 128):
    etcd.ask("kv/txn", success=[{"requestPut": {"key": b64(f"/k/{n:07d}"), "value": b64("v")}}
                                for n in range(start, min(KEYS, start + 128))])


def cost(first, end):
    """The median milliseconds of a limit=1 read, and the count in its answer."""
    took = []
    for _ in range(15):
        began = time.perf_counter()
        answer = etcd.ask("kv/range", key=b64(first), range_end=b64(end), limit=1)
        took.append(1000 * (time.perf_counter() - began))
        require(len(answer["kvs"]) == 1, "one key in the answer")
    return statistics.median(took), int(answer["count"])


seen = {}
for name, first, end in (
    ("all keys behind it", "/k/", "/k0"),
    ("half of them behind it", f"/k/{KEYS // 2:07d}", "/k0"),
    ("from the last 100 on", f"/k/{KEYS - 100:07d}", "/k0"),
    ("an end 100 keys away", "/k/", "/k/0000100"),
):
    seen[name] = cost(first, end)
    print(f"limit=1, {name}: median {seen[name][0]:.2f} ms, count {seen[name][1]}")

whole, late, near = (seen[name][0] for name in
                     ("all keys behind it", "from the last 100 on", "an end 100 keys away"))
print(f"the whole costs {whole / near:.0f} times the near end, {whole / late:.0f} times the last 100")
require(seen["all keys behind it"][1] == KEYS, "the count is of all keys")
require(whole > 4 * near and whole > 4 * late, "a limit does not save the count")
PYTHON
timeout 70 python3 "$box/run.py" "$etcd"
