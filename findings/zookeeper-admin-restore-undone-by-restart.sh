#!/usr/bin/env bash
# ZooKeeper 3.9.3 (3.9.6 too), one server, kazoo 2.11.0: what the admin server's `restore` did is undone
# by the next restart.
#
# Behaviour: POST /commands/restore puts another tree into memory and says 200. It writes no snapshot, and
# the log keeps the transactions that were taken back; zxids go on above them. A restart replays the log
# over the last snapshot on disk: what was taken back is there again, beside all that was made since. The
# `snapshot` command lasts if something was written after the restore. If nothing was, the tree has the old
# zxid yet: 3.9.3 replays the log before it saves, and brings all back at once; in 3.9.6 the restart does.
# Guessed: that a restore which answered 200 is durable, at the latest with a `snapshot` after it.
# Seen: a0-a4, snapshot, b0-b4, restore: a; then c0-c2 with higher zxids than b4's: a c; killed and started:
# a b c. d0-d1 taken back, `snapshot` at once: d is back. Taken back again, e0 written, `snapshot`, killed
# and started: a b c e. Files moved away first, f0-f1 taken back, g0 written, killed and started: nothing.
# Source: ZOOKEEPER-4571; ZOOKEEPER-4872 for the replay in `snapshot`. ZooKeeper's Snapshot and Restore Guide
# knows of the restart, and has dataDir's files moved away first. The running server, which alone can
# restore, goes on writing into the log that was moved, so then a restart finds nothing at all.
# For users of a mirror: after a restore write something, then take a snapshot again, before any restart.
# Else the nodes come back with the restart, with the old zxids that they had, and a mirror has to decide.
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

unpack trixie 'libzookeeper-java=3.9.3-*' liblog4j1.2-java libslf4j-java libnetty-java libsnappy-java \
    libjackson2-core-java libjackson2-databind-java libjackson2-annotations-java libcommons-cli-java \
    libcommons-io-java libdropwizard-metrics-java libjetty9-java libservlet-api-java \
    libfindbugs-annotations-java
jars=$box/root/usr/share/java
if ! command -v java >/dev/null; then
    echo "this needs Java: openjdk-17-jre-headless"
    exit 1
fi
# jute first: the manifest of zookeeper.jar names an installed one by its full path.
classpath=$(for jar in zookeeper-jute zookeeper slf4j-api slf4j-simple log4j-1.2 netty-buffer netty-codec \
    netty-common netty-handler netty-resolver netty-transport netty-transport-native-epoll \
    netty-transport-native-unix-common snappy-java metrics-core commons-cli commons-io findbugs-annotations \
    jackson-annotations jackson-core jackson-databind jetty9-http jetty9-io jetty9-security jetty9-server \
    jetty9-servlet jetty9-util servlet-api; do [ ! -e "$jars/$jar.jar" ] || printf '%s:' "$jars/$jar.jar"; done)
export classpath

python3 -m venv --without-pip "$box/venv"
python3 -m pip --python "$box/venv/bin/python" install -q --disable-pip-version-check --no-compile \
    kazoo==2.11.0 >"$box/pip.log" 2>&1 || { cat "$box/pip.log"; exit 1; }

cat >"$box/server.py" <<'PYTHON'
"""One ZooKeeper with its admin server, on free ports of the loopback."""
import os, socket, subprocess, sys, time, urllib.request

BOX = os.path.dirname(os.path.abspath(__file__))
JAVA = ["java", "-Xmx192m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", os.environ["classpath"]]


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def require(holds, what):
    if not holds:
        sys.exit(f"NO LONGER SO: {what}")


class ZooKeeper:
    def __init__(self, name):
        self.folder, (self.port, self.admin) = f"{BOX}/{name}", free_ports(2)
        self.data = f"{self.folder}/data/version-2"
        os.makedirs(self.data)
        with open(f"{self.folder}/zoo.cfg", "w") as config:
            config.write(f"dataDir={self.folder}/data\nclientPort={self.port}\nclientPortAddress=127.0.0.1\n"
                         f"tickTime=500\nadmin.serverPort={self.admin}\nadmin.serverAddress=127.0.0.1\n"
                         "admin.rateLimiterIntervalInMS=10\n4lw.commands.whitelist=srvr\n")

    def start(self):
        with open(f"{self.folder}/log", "ab") as log:
            self.process = subprocess.Popen(
                [*JAVA, "org.apache.zookeeper.server.quorum.QuorumPeerMain",
                 f"{self.folder}/zoo.cfg"], stdout=log, stderr=log)
        with open(f"{BOX}/pids", "a") as pids:
            print(self.process.pid, file=pids)
        deadline = time.monotonic() + 40
        while not (told := self.srvr()):
            if time.monotonic() > deadline or self.process.poll() is not None:
                sys.exit(f"ZooKeeper did not start: {open(self.folder + '/log').read()[-2000:]}")
            time.sleep(0.1)
        return told

    def end(self):
        self.process.kill()
        self.process.wait()

    def srvr(self):
        """Its own description, empty while it serves nobody."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as link:
                link.sendall(b"srvr")
                answer = b""
                while more := link.recv(4096):
                    answer += more
        except OSError:
            return ""
        return answer.decode() if b"Zxid" in answer else ""

    def command(self, what, body=None):
        """The admin server's answer; POST if there is a body. Raises for any status but 200."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.admin}/commands/{what}", body, {
            "Authorization": "digest some:body", "Content-Type": "application/octet-stream"})
        with urllib.request.urlopen(request, timeout=15) as answer:
            return answer.read()

    def snapshots(self):
        return sorted(name for name in os.listdir(self.data) if name.startswith("snapshot."))
PYTHON

cat >"$box/run.py" <<'PYTHON'
import logging, os, shutil

from kazoo.client import KazooClient

from server import ZooKeeper, require

logging.disable(logging.CRITICAL)


def connected():
    client = KazooClient(f"127.0.0.1:{server.port}", timeout=8)
    client.start(timeout=20)
    return client


def made(letter, count):
    """The last one's zxid."""
    return [client.create(f"/{letter}{n}", b"", include_data=True)[1].czxid for n in range(count)][-1]


def seen(when):
    """The letters that nodes there begin with."""
    names = sorted(name for name in client.get_children("/") if name != "zookeeper")
    print(f"{when}: {' '.join(names) or 'nothing'}", flush=True)
    return "".join(sorted({name[0] for name in names}))


def taken():
    return server.command("snapshot?streaming=true")


def restarted():
    client.stop()
    client.close()
    server.end()
    server.start()
    return connected()


server = ZooKeeper("alone")
print(server.start().partition("-")[0])
client = connected()

made("a", 5)
snapshot = taken()
lost = made("b", 5)
files = server.snapshots()
server.command("restore", snapshot)
require(seen("restored") == "a", "a restore acts at once")
later = made("c", 3)
print(f"b4 had zxid {lost:#x}, c2 has {later:#x}")
require(later > lost, "zxids go on")
require(server.snapshots() == files, "the restore and what follows write no snapshot")
logs = [name for name in os.listdir(server.data) if name.startswith("log.")]
kept = any(b"/b4" in open(f"{server.data}/{name}", "rb").read() for name in logs)
require(kept, "the log keeps what was taken back")
require(seen("made since") == "ac", "c is made beside a")
client = restarted()
require(seen("killed and started") == "abc", "the restart undoes the restore")

snapshot = taken()
made("d", 2)
server.command("restore", snapshot)
require(seen("d restored away") == "abc", "a restore acts at once, again")
taken()
require(seen("snapshot without a write") == "abcd", "a snapshot without a write before it undoes the restore")

server.command("restore", snapshot)
made("e", 1)
taken()
require(seen("d restored away, e made, snapshot") == "abce", "a snapshot after a write does not")
client = restarted()
require(seen("killed and started") == "abce", "and that outlasts a restart")

snapshot = taken()
made("f", 2)
os.mkdir(f"{server.folder}/away")
for name in os.listdir(server.data):
    shutil.move(f"{server.data}/{name}", f"{server.folder}/away")
server.command("restore", snapshot)
made("g", 1)
require(seen("files moved away, f restored away, g made") == "abceg", "the third restore acts at once")
client = restarted()
require(seen("killed and started") == "", "with the files moved away nothing is left")
client.stop()
client.close()
server.end()
PYTHON
timeout 75 "$box/venv/bin/python" "$box/run.py"
