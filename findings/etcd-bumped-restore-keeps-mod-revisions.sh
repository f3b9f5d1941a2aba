#!/usr/bin/env bash
# etcd 3.5.16: `etcdutl snapshot restore --bump-revision N --mark-compacted` lifts the store's
# revision, but no key's.
#
# Behaviour: after the restore the header says old revision + N and old revisions answer "compacted";
# each key keeps the mod_revision (and the create_revision, version, lease) of the snapshot. A txn
# that compares a mod_revision read before the snapshot succeeds, although the key was written anew
# between the snapshot and the restore and that value is lost.
# Guessed: that the bump, made so that clients' revisions never go back, also makes stale compares
# fail: that "mod_revision unchanged" after a restore means "nothing happened to the key".
# Seen: header 12 -> 1000012, Range at revision 12: "required revision has been compacted", the key's
# mod_revision 2 before the snapshot, 13 after a later write, 2 again after the restore; the compare
# with 2 succeeds and overwrites.
# Source: etcd's recovery guide names watches and informers as the bump's purpose; nothing on compares.
# For users of a mirror: fencing by an owner key's mod_revision and "unchanged since I wrote it" do
# not notice a restore; after one, compare values, not revisions.
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

unpack trixie 'etcd-server=3.5.16-*'
PATH=$box/root/usr/bin:$PATH
etcd --version | sed -n 1p

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
import base64, json, os, shutil, subprocess, urllib.request
from server import BOX, Etcd, b64, require, text

BUMP = 1_000_000
etcd = Etcd("etcd")


def state(when):
    answer = etcd.ask("kv/range", key=b64("k"))
    key = answer["kvs"][0]
    header, modified, value = int(answer["header"]["revision"]), int(key["mod_revision"]), text(key["value"])
    print(f"{when}: header {header}, mod_revision {modified}, value {value!r}")
    return header, modified


etcd.put("k", "old")
for n in range(10):
    etcd.put("another", str(n))
header, read = state("before the snapshot")
request = urllib.request.Request(f"http://127.0.0.1:{etcd.port}/v3/maintenance/snapshot", b"{}")
with urllib.request.urlopen(request, timeout=20) as stream, open(f"{BOX}/snapshot", "wb") as snapshot:
    for line in filter(bytes.strip, stream):
        snapshot.write(base64.b64decode(json.loads(line)["result"].get("blob", "")))
etcd.put("k", "newer")
_, lost = state("a write later")
etcd.end()
shutil.rmtree(etcd.data)
peer = f"http://127.0.0.1:{etcd.peer}"
subprocess.run(["etcdutl", "snapshot", "restore", f"{BOX}/snapshot", "--data-dir", etcd.data,
                "--bump-revision", str(BUMP), "--mark-compacted", "--initial-cluster", f"default={peer}",
                "--initial-advertise-peer-urls", peer], check=True, capture_output=True, timeout=30)
etcd.start()
lifted, now = state("restored with the bump")
compacted = etcd.ask("kv/range", key=b64("k"), revision=header).get("error", "answered")
print(f"Range at revision {header}: {compacted}")
swapped = etcd.ask("kv/txn", compare=[{"key": b64("k"), "target": "MOD", "result": "EQUAL", "mod_revision": read}],
                   success=[{"requestPut": {"key": b64("k"), "value": b64("stale")}}]).get("succeeded", False)
print(f"a compare with the mod_revision read before all this ({read}): {'holds' if swapped else 'fails'}")
state("at the end")
require(lifted >= header + BUMP and "compacted" in compacted, "the store's revision is lifted")
require(lost > read and now == read, "the key's mod_revision is the snapshot's")
require(swapped, "the stale compare holds")
PYTHON
timeout 60 python3 "$box/run.py"
