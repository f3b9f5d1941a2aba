#!/usr/bin/env bash
# ZooKeeper 3.8.0, three servers (and one alone), kazoo 2.11.0: an ensemble put back to an older copy
# of its data gives its clients *higher* zxids than before, although newer writes are gone.
#
# Behaviour: a zxid is an epoch and a counter. The election after the restore begins a new epoch, so the
# first zxid is above all that a client has seen; the check which refuses a client that is ahead of
# its server never triggers, and a session that is in the copy goes on as if nothing had been.
# A single server has no epochs: there the same client is refused.
# Guessed: that "my last zxid <= the server's" proves that the server has all that I have seen; that a
# restore shows itself by refused clients or expired sessions.
# Seen: ensemble: /k "newer" -> "older", same session, no LOST, header zxid 0x10000000a -> 0x200000001, the
# node's own mzxid 0x10000000a -> 0x100000002. Single server: refused for all of 6 s, the client is SUSPENDED.
# Source: none for the ensemble's side; python-zk/kazoo#42 for the refused client.
# For users of a mirror: a zxid checkpoint does not notice a restore; only what is read again and compared
# does, e.g. each node's mzxid that went down.
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

python3 -m venv --without-pip "$box/venv"
python3 -m pip --python "$box/venv/bin/python" install -q --disable-pip-version-check --no-compile \
    kazoo==2.11.0 >"$box/pip.log" 2>&1 || { cat "$box/pip.log"; exit 1; }

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
import logging, shutil, sys, time

from kazoo.client import KazooClient

from server import ZooKeeper, free_ports, require, until

logging.disable(logging.CRITICAL)
SMALL = ["-Dzookeeper.preAllocSize=64"]  # log files small enough to copy at once


def restored(name, servers):
    """(zxids seen before and after, /k before and after, its mzxids, states, same session) of one client."""
    for server in servers:
        server.start()
    until(f"{name} serves", lambda: all(server.serves() for server in servers), 40)
    client = KazooClient(",".join(server.address for server in servers), timeout=8,
                         connection_retry={"max_tries": -1, "max_delay": 0.5})
    states = []
    client.add_listener(states.append)
    client.start(timeout=20)
    client.create("/k", b"older")
    client.get("/k")
    time.sleep(1)  # the followers have written it too
    for server in servers:
        shutil.copytree(f"{server.folder}/data", f"{server.folder}/backup")
    for _ in range(8):
        client.set("/k", b"newer")
    value, stat = client.get("/k")
    zxid, session = client.last_zxid, client.client_id[0]
    for server in servers:
        server.end()
    until("the client is cut off", lambda: not client.connected)
    for server in servers:
        shutil.rmtree(f"{server.folder}/data")
        shutil.move(f"{server.folder}/backup", f"{server.folder}/data")
        server.start()
    until(f"{name} serves again", lambda: all(server.serves() for server in servers), 40)
    deadline = time.monotonic() + (20 if len(servers) > 1 else 6)
    while not client.connected and time.monotonic() < deadline:
        time.sleep(0.1)
    result = None
    if client.connected:
        client.retry(client.ensure_path, "/after")
        again, stat_again = client.retry(client.get, "/k")
        result = (client.last_zxid, again, stat_again.mzxid, client.client_id[0] == session)
    states = list(states)  # without those of its end
    print(f"{name}, before: zxid {zxid:#x}, /k {value!r} with mzxid {stat.mzxid:#x}")
    print(f"{name}, restored: " + ("zxid {:#x}, /k {!r} with mzxid {:#x}, same session: {}".format(*result)
                                    if result else "the client is refused (6 s)"))
    print(f"{name}, states that the client's listener saw: {', '.join(states)}", flush=True)
    client.stop()
    client.close()
    for server in servers:
        server.end()
    return zxid, stat.mzxid, result, states


ports = free_ports(6)
peers = "".join(f"server.{n}=127.0.0.1:{ports[2 * n - 2]}:{ports[2 * n - 1]}\n" for n in (1, 2, 3))
ensemble = [ZooKeeper(f"server{n}", ensemble=peers, flags=SMALL) for n in (1, 2, 3)]
for n, server in enumerate(ensemble, 1):
    with open(f"{server.folder}/data/myid", "w") as myid:
        myid.write(str(n))
zxid, mzxid, result, states = restored("three servers", ensemble)
alone = restored("one server", [ZooKeeper("alone", flags=SMALL)])
require(result is not None, "the ensemble takes the client")
require(result[0] > zxid, "the zxid is higher than before")
require(result[1] == b"older" and result[2] < mzxid, "although newer writes are gone")
require(result[3] and "LOST" not in states, "in the same session")
require(alone[2] is None, "one server alone refuses")
PYTHON
timeout 75 "$box/venv/bin/python" "$box/run.py"
