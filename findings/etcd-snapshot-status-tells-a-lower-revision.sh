#!/usr/bin/env bash
# etcd 3.4.23 (no longer 3.5.16): `snapshot status` tells a lower revision than the store that the
# snapshot is of, if deletes were its newest changes and it was compacted at the last of them.
#
# Behaviour: compacting at the newest revision takes the deletes' own records out of the database; the
# revision survives as the compaction's alone. What reads a revision off the newest record, `snapshot
# status` and `etcdutl snapshot restore --bump-revision`, gets the last put's. A running etcd, and one
# that is restored without a bump, take the compaction's into account and go on from the right one.
# Guessed: that status tells the revision from which the restored etcd goes on.
# Seen: 10 puts, 3 deletes, compacted at 14: header 14, status 11 (etcdctl 3.4.23 and etcdutl 3.5.16),
# restored header 14. A watch from 12 there: created, then canceled with compact_revision 14. The same
# snapshot restored by etcdutl 3.5.16 with a bump of 1000: header 1011. 3.5.16's own, made alike: 14, 14.
# Source: etcd-io/etcd#17780 (compaction removes the last revision, if that is a delete); mended by
# #17815 and #18274 with their backports; #11627 wanted status's revision explained, closed as stale.
# For users of a mirror: take the revision from a header, not from `snapshot status`: a bump or a watch
# that is computed from status may start too low.
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

if [ "$(etcd --version 2>/dev/null | sed -n 1p)" = 'etcd Version: 3.4.23' ] &&
    ETCDCTL_API=3 etcdctl version 2>/dev/null | grep -x 'etcdctl version: 3.4.23' >/dev/null; then
    etcd=$(command -v etcd) etcdctl=$(command -v etcdctl)
else
    etcd=$box/3.4/root/usr/bin/etcd etcdctl=$box/3.4/root/usr/bin/etcdctl
    (box=$box/3.4 && mkdir "$box" && unpack bookworm 'etcd-server=3.4.23-4*' 'etcd-client=3.4.23-4*') &
fi
unpack trixie 'etcd-server=3.5.16-*'
if [ -n "${!:-}" ]; then wait $!; fi
"$etcd" --version | sed -n 1p
"$box/root/usr/bin/etcd" --version | sed -n 1p

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
import base64, http.client, json, os, subprocess, sys, urllib.request
from server import BOX, Etcd, b64, require

ETCD_3_4, ETCDCTL_3_4, ETCD_3_5, ETCDUTL_3_5 = sys.argv[1:]
BUMP, DELETES = 1000, 3


def header(etcd):
    return int(etcd.ask("kv/range", key=b64("none"))["header"]["revision"])


def snapshot_of(etcd):
    """The file, taken after DELETES were the newest changes and a compaction at the last of them."""
    for n in range(10):
        etcd.put(f"k{n}", "v")
    for n in range(DELETES):
        etcd.ask("kv/deleterange", key=b64(f"k{n}"))
    compacted = etcd.ask("kv/compaction", revision=header(etcd), physical=True)
    require("error" not in compacted, f"it can be compacted at its newest revision: {compacted}")
    request = urllib.request.Request(f"http://127.0.0.1:{etcd.port}/v3/maintenance/snapshot", b"{}")
    path = f"{etcd.data}.snapshot"
    with urllib.request.urlopen(request, timeout=20) as stream, open(path, "wb") as snapshot:
        for line in filter(bytes.strip, stream):
            snapshot.write(base64.b64decode(json.loads(line)["result"].get("blob", "")))
    return path


def told(tool, path):
    status = subprocess.run([tool, "snapshot", "status", path, "-w", "json"], capture_output=True, check=True,
                            timeout=20, env={**os.environ, "ETCDCTL_API": "3"})
    return json.loads(status.stdout)["revision"]


def restored(tool, path, etcd, *flags):
    """The header's revision of one made of the snapshot, at the addresses of `etcd`, which has ended."""
    etcd.data += ".restored"
    peer = f"http://127.0.0.1:{etcd.peer}"
    subprocess.run([tool, "snapshot", "restore", path, "--data-dir", etcd.data, "--initial-cluster",
                    f"default={peer}", "--initial-advertise-peer-urls", peer, *flags],
                   capture_output=True, check=True, timeout=20, env={**os.environ, "ETCDCTL_API": "3"})
    etcd.start()
    return header(etcd)


old = Etcd(ETCD_3_4, name="old")
path, before = snapshot_of(old), header(old)
told_old = told(ETCDCTL_3_4, path), told(ETCDUTL_3_5, path)
old.end()
print(f"3.4.23, {DELETES} deletes, compacted: header {before}; snapshot status {told_old[0]}, "
      f"by etcdutl 3.5.16 {told_old[1]}")
require(told_old == (before - DELETES, before - DELETES), "the deletes' revisions are not told")
after = restored(ETCDCTL_3_4, path, old)
print(f"restored: header {after}")
link = http.client.HTTPConnection("127.0.0.1", old.port, timeout=10)
link.request("POST", "/v3/watch", json.dumps({"create_request": {"key": b64("k"), "range_end": b64("l"),
                                                                 "start_revision": told_old[0] + 1}}))
stream = link.getresponse()
answers = [json.loads(stream.readline())["result"] for _ in range(2)]
for answer in answers:
    del answer["header"]
print(f"a watch from {told_old[0] + 1}: {json.dumps(answers)}")
link.close()
old.end()
lifted = Etcd(ETCD_3_5, name="lifted")
lifted.end()
bumped = restored(ETCDUTL_3_5, path, lifted, "--bump-revision", str(BUMP), "--mark-compacted")
lifted.end()
print(f"restored by etcdutl 3.5.16 with --bump-revision {BUMP}: header {bumped}")
new = Etcd(ETCD_3_5, name="new")
path, before_new = snapshot_of(new), header(new)
told_new = told(ETCDUTL_3_5, path)
new.end()
print(f"3.5.16, the same: header {before_new}; snapshot status {told_new}")
require(after == before, "the restored etcd goes on from its own revision")
require(answers[1].get("canceled") and answers[1].get("compact_revision") == str(before), "the watch is too old")
require(bumped == before - DELETES + BUMP, "the bump begins at what is told")
require(told_new == before_new, "3.5.16 tells its revision")
PYTHON
timeout 60 python3 "$box/run.py" "$etcd" "$etcdctl" "$box/root/usr/bin/etcd" "$box/root/usr/bin/etcdutl"
