#!/usr/bin/env bash
# ZooKeeper 3.8.0, server and Java client: a persistent (recursive) watch survives a reconnect of its
# session, but what changed during the gap is never reported; a one-shot data watch reports it.
#
# Behaviour: on reconnecting, the client sends all its watches with the last zxid it saw. The server
# compares that zxid with the node's for one-shot watches and fires those at once if it is newer;
# persistent ones it just registers again.
# Guessed: that the stronger kind of watch, "never to be set again", is at least as safe over a
# reconnect within one session as the old kind; so that a mirror with it misses nothing.
# Seen: one session, cut off through a relay while /one and /many/child are written; after it is
# CONNECTED again: NodeDataChanged for /one (one-shot), nothing for /many/child (persistent
# recursive); a later write to /many/child is reported, so the watch itself is alive.
# Source: ZOOKEEPER-1416 (apache/zookeeper#1106, discussed and left so), #1950.
# For users of a mirror: after each CONNECTED the whole watched tree must be read and compared again;
# a tool that only listens loses exactly the changes of each disconnect, for good.
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

if [ "$(dpkg-query -W -f '${Version}' libzookeeper-java 2>/dev/null)" = 3.8.0-11+deb12u2 ]; then
    jars=$(dirname "$(dpkg -L libzookeeper-java | grep '/zookeeper\.jar$')")
else
    unpack bookworm libzookeeper-java=3.8.0-11+deb12u2 libslf4j-java libnetty-java libsnappy-java \
        libdropwizard-metrics-java libcommons-cli-java
    jars=$(dirname "$(find "$box/root" -name zookeeper.jar)")
fi
if ! command -v java >/dev/null; then
    echo "this needs Java: openjdk-17-jre-headless"
    exit 1
fi
classpath=$(for jar in zookeeper-jute zookeeper slf4j-api slf4j-simple netty-all netty-codec \
    netty-resolver netty-handler netty-transport netty-buffer netty-common snappy-java metrics-core \
    commons-cli; do [ ! -e "$jars/$jar.jar" ] || printf '%s:' "$jars/$jar.jar"; done)
export classpath

cat >"$box/server.py" <<'PYTHON'
"""ZooKeeper servers on free ports of the loopback."""
import os, shutil, socket, subprocess, sys, time

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


def until(what, question, patience=30):
    """The first true answer."""
    deadline = time.monotonic() + patience
    while not (answer := question()):
        if time.monotonic() > deadline:
            sys.exit(f"waited in vain: {what}")
        time.sleep(0.1)
    return answer


class ZooKeeper:
    def __init__(self, name, ensemble="", flags=()):
        self.folder, self.flags, (self.port,) = f"{BOX}/{name}", flags, free_ports(1)
        os.makedirs(f"{self.folder}/data")
        with open(f"{self.folder}/zoo.cfg", "w") as config:
            config.write(f"dataDir={self.folder}/data\nclientPort={self.port}\nclientPortAddress=127.0.0.1\n"
                         f"tickTime=500\ninitLimit=20\nsyncLimit=10\nadmin.enableServer=false\n"
                         f"4lw.commands.whitelist=srvr\n{ensemble}")

    def start(self):
        with open(f"{self.folder}/log", "ab") as log:
            self.process = subprocess.Popen(
                [*JAVA, *self.flags, "-Dzookeeper.admin.enableServer=false",
                 "org.apache.zookeeper.server.quorum.QuorumPeerMain", f"{self.folder}/zoo.cfg"],
                stdout=log, stderr=log)
        with open(f"{BOX}/pids", "a") as pids:
            print(self.process.pid, file=pids)

    def end(self):
        self.process.kill()
        self.process.wait()

    def serves(self):
        """Its own description (srvr), empty while it serves nobody."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as link:
                link.sendall(b"srvr")
                answer = b""
                while more := link.recv(4096):
                    answer += more
        except OSError:
            return ""
        return answer.decode() if b"Zxid" in answer else ""

    def wait(self):
        if not until("the server serves", lambda: self.serves() or self.process.poll() is not None) is True:
            return self
        sys.exit(f"ZooKeeper did not start: {open(self.folder + '/log').read()[-2000:]}")

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"
PYTHON

cat >"$box/run.py" <<'PYTHON'
import re, socket, subprocess, threading, time
from server import BOX, JAVA, ZooKeeper, require, until

server = ZooKeeper("zookeeper")
server.start()
server.wait()
relay = socket.create_server(("127.0.0.1", 0))
open_gate, links = threading.Event(), []
open_gate.set()


def pump(source, target):
    try:
        while data := source.recv(65536):
            target.sendall(data)
    except OSError:
        pass
    for each in (source, target):
        try:
            each.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def accept():
    while True:
        near = relay.accept()[0]
        if not open_gate.is_set():
            near.close()
            continue
        far = socket.create_connection(("127.0.0.1", server.port))
        links.extend((near, far))
        for pair in ((near, far), (far, near)):
            threading.Thread(target=pump, args=pair, daemon=True).start()


threading.Thread(target=accept, daemon=True).start()


class Client:
    """ZooKeeper's own command line client."""

    def __init__(self, name, port):
        self.output = f"{BOX}/{name}"
        # A long session (it is capped by the server), so that the cut does not end it.
        self.process = subprocess.Popen(
            [*JAVA, "org.apache.zookeeper.ZooKeeperMain", "-timeout", "10000", "-server", f"127.0.0.1:{port}"],
            stdin=subprocess.PIPE, stdout=open(self.output, "wb"), stderr=subprocess.STDOUT)
        with open(f"{BOX}/pids", "a") as pids:
            print(self.process.pid, file=pids)

    def say(self, *commands):
        self.process.stdin.write("".join(f"{command}\n" for command in commands).encode())
        self.process.stdin.flush()

    def said(self):
        return open(self.output, errors="replace").read()

    def events(self):
        return re.findall(r"WatchedEvent state:(\w+) type:(\w+) path:(\S+)", self.said())

    def connected(self):
        return sum(kind == "None" and state == "SyncConnected" for state, kind, _ in self.events())


writer = Client("writer", server.port)
writer.say("create /one a", "create /many a", "create /many/child a", "get /many/child")
until("the nodes are there", lambda: "Created /many/child" in writer.said())
watcher = Client("watcher", relay.getsockname()[1])
watcher.say("get -w /one", "addWatch -m PERSISTENT_RECURSIVE /many", "create /armed a")
until("the watches are set", lambda: "Created /armed" in watcher.said())

open_gate.clear()
for link in links:
    link.shutdown(socket.SHUT_RDWR)
until("the watcher is cut off", lambda: any(state == "Disconnected" for state, _, _ in watcher.events()))
writer.say("set /one b", "set /many/child b", "create /written a")
until("both are written", lambda: "Created /written" in writer.said())
open_gate.set()
until("the watcher is connected again", lambda: watcher.connected() >= 2)
until("the one-shot watch fires", lambda: ("SyncConnected", "NodeDataChanged", "/one") in watcher.events())
time.sleep(2)
gap = [path for _, kind, path in watcher.events() if kind == "NodeDataChanged"]
expired = any(state == "Expired" for state, _, _ in watcher.events())
watcher.say("get /many/child", "create /read a")
until("the watcher reads", lambda: "Created /read" in watcher.said())
print("one session, written while it was cut off: /one and /many/child; session expired:", expired)
print("reported after it came back (one-shot watch on /one, persistent recursive on /many):", *gap)
writer.say("set /many/child c")
until("a later change is reported",
      lambda: [path for _, kind, path in watcher.events() if kind == "NodeDataChanged"].count("/many/child"))
later = [path for _, kind, path in watcher.events() if kind == "NodeDataChanged"][len(gap):]
print("reported of a later write to /many/child:", *later)
require(not expired, "the session lives on")
require(gap == ["/one"], "of the gap only the one-shot watch reports")
require(later == ["/many/child"], "the persistent watch itself is alive")
PYTHON
timeout 70 python3 "$box/run.py"
