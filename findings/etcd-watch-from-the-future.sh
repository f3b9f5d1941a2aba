#!/usr/bin/env bash
# etcd 3.4.23 (3.5.16 too): a watch from a revision that does not exist yet is taken, and is silent.
#
# Behaviour: a store at revision 6 takes a watch with start_revision 20, answers "created", and
# then says nothing of the changes 7 to 19. A Range at revision 20 is refused on the same store: "required
# revision is a future revision".
# Guessed: that a watch is refused as a Range is, or begins at the present; so that a client which
# kept its revision over a restore of etcd (whose revisions start lower again) is told so.
# Seen: Range at 20: "etcdserver: mvcc: required revision is a future revision". Watch from 20 at
# revision 6: created; of 20 puts (7 to 26) it reports those at 20 to 26 and no word of 13 changes.
# Source: etcd-io/etcd#9656 ("yes, you can specify future revisions"); #14303 (clients after a
# restore), closed as stale.
# For users of a mirror: whoever resumes a watch on the mirror's keys from a stored revision must
# first compare it with a fresh header's revision; after a restore of etcd, silence is not peace.
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
import http.client, json, sys
from server import Etcd, b64, require, text

START = 20
etcd = Etcd(sys.argv[1])
for n in range(5):
    now = int(etcd.put("k", f"before {n}")["header"]["revision"])
print(f"the store is at revision {now}")

refused = etcd.ask("kv/range", key=b64("k"), revision=START).get("error", "")
print(f"Range at revision {START}: {refused or 'answered'}")

link = http.client.HTTPConnection("127.0.0.1", etcd.port, timeout=20)
link.request("POST", "/v3/watch", json.dumps({"create_request": {"key": b64("k"), "start_revision": START}}))
stream = link.getresponse()
first = json.loads(stream.readline())["result"]
print(f"Watch from revision {START}: created={first.get('created')} canceled={first.get('canceled', False)}")

written = [int(etcd.put("k", f"after {n}")["header"]["revision"]) for n in range(20)]
reported = []
while not reported or reported[-1] < written[-1]:
    answer = json.loads(stream.readline())["result"]
    reported += [int(event["kv"]["mod_revision"]) for event in answer.get("events", [])]
missing = sorted(set(written) - set(reported))
print(f"written at revisions {written[0]} to {written[-1]}, reported: {reported}")
print(f"changes made under the open watch and never reported: {len(missing)} ({missing[0]} to {missing[-1]})")
require("future revision" in refused, "a Range of the future is refused")
require(first.get("created") and not first.get("canceled"), "a watch of the future is taken")
require(missing == list(range(now + 1, START)), "nothing below its start is reported")
PYTHON
timeout 60 python3 "$box/run.py" "$etcd"
