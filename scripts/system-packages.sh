#!/bin/sh
# Make sure that the Debian packages which tests, demo and benchmarks need are there: a real
# ZooKeeper, a real etcd and Java. As root they are installed; otherwise they are named.
#
#   scripts/system-packages.sh             those
#   scripts/system-packages.sh prometheus  and a real Prometheus, with promtool
#   scripts/system-packages.sh chromium    and a browser, with its WebDriver
set -eu

missing=""
want() { # want PACKAGE TEST...
    package=$1
    shift
    "$@" >/dev/null 2>&1 || missing="$missing $package"
}

want default-jre-headless command -v java
want zookeeper test -e /usr/share/java/zookeeper.jar
want etcd-server command -v etcd
want etcd-client command -v etcdctl
for more; do
    case $more in
        prometheus) want prometheus command -v promtool ;;
        chromium)
            want chromium command -v chromium
            want chromium-driver command -v chromedriver
            ;;
        *) echo "not known here: $more" >&2 && exit 2 ;;
    esac
done

[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "missing system packages:$missing" >&2
    echo "install them (apt-get install$missing) and run this again" >&2
    exit 1
fi

echo "installing system packages:$missing" >&2
export DEBIAN_FRONTEND=noninteractive
# The services that the packages bring would take the default ports: the sandbox starts its own.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
    trap 'rm -f "$policy"' EXIT
fi
apt-get update -qq >&2
# shellcheck disable=SC2086 # one word for each package
apt-get install -y -qq --no-install-recommends $missing >&2
