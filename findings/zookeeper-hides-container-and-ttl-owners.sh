#!/usr/bin/env bash
# ZooKeeper 3.8.0 (3.9.6 too), server and Java client: containers and TTL nodes look persistent to clients.
#
# Behaviour: the server marks both in the node's ephemeralOwner (0x8000000000000000 for a container,
# 0xff00... with the TTL's milliseconds for a TTL node) and removes them by itself; the Stat that it
# gives to clients has ephemeralOwner 0 for both, as for a persistent node. Nothing else tells them.
# Guessed: that a client can tell which nodes the server will remove, by the ephemeralOwner that the
# server's own EphemeralType documents.
# Seen: Stat: persistent 0, container 0, TTL node 0, ephemeral: the session's id. The server's own
# SnapshotFormatter on its snapshot: 0, 0x8000000000000000, 0xff0000000000ea60, the session's id.
# Source: DataNode.copyStat and its getClientEphemeralOwner; no issue known.
# For users of a mirror: a filter "leave out what is not persistent" can leave out ephemerals only;
# containers and TTL nodes are mirrored and then vanish by a delete that no client sent.
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
import glob, re, subprocess, time
from server import BOX, JAVA, ZooKeeper, require

server = ZooKeeper("zookeeper", flags=["-Dzookeeper.extendedTypesEnabled=true"])
server.start()
server.wait()

# ZooKeeper's own command line client; its ephemeral is gone with it, so it stays until the end.
client = subprocess.Popen([*JAVA, "org.apache.zookeeper.ZooKeeperMain", "-server", server.address],
                          stdin=subprocess.PIPE, stdout=open(f"{BOX}/client", "wb"), stderr=subprocess.STDOUT)
with open(f"{BOX}/pids", "a") as pids:
    print(client.pid, file=pids)
PATHS = {"persistent": "/persistent", "container": "/container", "TTL node": "/ttl", "ephemeral": "/ephemeral"}
commands = ["create /persistent x", "create -c /container x", "create -t 60000 /ttl x", "create -e /ephemeral x"]
commands += [f"stat {path}" for path in PATHS.values()]
client.stdin.write("\n".join(commands).encode() + b"\n")
client.stdin.flush()
deadline = time.monotonic() + 30
owners = []
while len(owners) < len(PATHS) and time.monotonic() < deadline:
    time.sleep(0.2)
    owners = re.findall(r"ephemeralOwner = (0x[0-9a-f]+)", open(f"{BOX}/client").read())
require(len(owners) == len(PATHS), f"four Stats: {open(f'{BOX}/client').read()[-2000:]}")
shown = dict(zip(PATHS, owners))
client.kill()
client.wait()

# A start replays the log and writes a snapshot of all of it, the ephemeral (whose session has not
# run out) included.
server.end()
server.start()
server.wait()
snapshot = max(glob.glob(f"{server.folder}/data/version-2/snapshot.*"), key=lambda name: int(name.split(".")[-1], 16))
listing = subprocess.run([*JAVA, "org.apache.zookeeper.server.SnapshotFormatter", snapshot],
                         capture_output=True, text=True, timeout=30).stdout
kept = {kind: re.search(rf"^{path}\n(?:  .*\n)*?  ephemeralOwner = (0x[0-9a-f]+)", listing, re.M)[1]
        for kind, path in PATHS.items()}
for kind in PATHS:
    print(f"{kind}: shown to a client {shown[kind]}, kept by the server {kept[kind]}")
require(shown["container"] == shown["TTL node"] == shown["persistent"] == "0x0", "clients are shown 0")
require(int(kept["container"], 16) == 1 << 63, "a container has its mark on the server")
require(int(kept["TTL node"], 16) == (0xff << 56) + 60000, "a TTL node has its TTL on the server")
require(int(kept["persistent"], 16) == 0, "a persistent node has none")
require(int(shown["ephemeral"], 16) == int(kept["ephemeral"], 16) > 0, "an ephemeral shows its session")
PYTHON
timeout 70 python3 "$box/run.py"
