#!/bin/sh
# Unpack other releases of ZooKeeper and etcd beside the installed ones, without installing them:
# the same packages, out of Debian's other suites, through this machine's own apt source with the
# suite's name replaced. Prints nothing when everything is there already.
#
#   scripts/other-releases.sh           all suites
#   scripts/other-releases.sh bullseye  one: ZooKeeper 3.4 and etcd 3.3
#
# They go to $XDG_CACHE_HOME/zk2etcd/releases/SUITE (or ~/.cache/...). Exits 1, saying why, if a
# suite cannot be had; the tests that need it then skip.
set -eu

cache=${XDG_CACHE_HOME:-$HOME/.cache}/zk2etcd/releases

packages() { # packages SUITE: what its servers need; Java itself is the installed one
    case $1 in
        bullseye)
            echo "etcd-server libzookeeper-java liblog4j1.2-java libslf4j-java"
            ;;
        trixie)
            echo "etcd-server"
            ;;
        sid)
            echo "etcd-server libzookeeper-java liblog4j1.2-java libslf4j-java"
            echo "libnetty-java libnetty-common-java libnetty-buffer-java libsnappy-java"
            echo "libjackson2-core-java libjackson2-databind-java libjackson2-annotations-java"
            echo "libcommons-cli-java libcommons-io-java libdropwizard-metrics-java"
            echo "libjetty9-java libservlet-api-java libfindbugs-annotations-java"
            ;;
        *)
            return 1
            ;;
    esac
}

# The stanzas and lines of this machine's apt sources that name its own release, for another suite.
own_sources() { # own_sources SUITE FOLDER
    codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    [ -n "$codename" ] || return 0
    for file in /etc/apt/sources.list.d/*.sources; do
        [ -e "$file" ] || continue
        awk -v RS= -v suite="$1" -v own="$codename" '
            $0 ~ "(^|\n)Suites:([^\n]* )?[ ]*" own "([ \n]|$)" && /(^|\n)Types:[^\n]*deb( |\n|$)/ {
                count = split($0, lines, "\n")
                for (at = 1; at <= count; at++) {
                    if (lines[at] ~ /^Suites:/) lines[at] = "Suites: " suite
                    if (lines[at] !~ /^#/) print lines[at]
                }
                print ""
            }' "$file" >>"$2/own.sources"
    done
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        [ -e "$file" ] || continue
        awk -v suite="$1" -v own="$codename" '
            $1 == "deb" {
                for (at = 2; at <= NF; at++) if ($at == own) { $at = suite; print; next }
            }' "$file" >>"$2/own.list"
    done
    [ -s "$2/own.sources" ] || rm -f "$2/own.sources"
    [ -s "$2/own.list" ] || rm -f "$2/own.list"
}

fail() { # for the subshell of one suite; `set -e` is off in it, since its end is looked at
    echo "$*" >&2
    exit 1
}

unpack() ( # unpack SUITE, in a subshell: it has a trap of its own
    suite=$1
    [ ! -e "$cache/$suite/.complete" ] || exit 0
    command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null ||
        fail "$suite: no apt-get and dpkg-deb here to fetch it with"
    mkdir -p "$cache"
    work=$(mktemp -d "$cache/.$suite.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    mkdir -p "$work/sources" "$work/state/lists/partial" "$work/cache/archives/partial" \
        "$work/debs" "$work/root"
    : >"$work/status"
    own_sources "$suite" "$work/sources"
    [ -n "$(ls "$work/sources")" ] ||
        fail "$suite: the apt sources of this machine do not name its own release"
    # The folder is nobody's but ours, so apt need not give up its rights for it.
    cat >"$work/apt.conf" <<CONF
Dir::State "$work/state";
Dir::State::status "$work/status";
Dir::Cache "$work/cache";
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "$work/sources";
APT::Sandbox::User "$(id -un)";
Acquire::Languages "none";
Acquire::Retries "2";
Acquire::http::Timeout "15";
Acquire::https::Timeout "15";
Acquire::Check-Valid-Until "false";
APT::Update::Error-Mode "any";
CONF
    echo "fetching other releases out of $suite" >&2
    APT_CONFIG=$work/apt.conf
    export APT_CONFIG
    apt-get update -qq >"$work/log" 2>&1 ||
        fail "$suite cannot be had from this machine's apt source: $(tail -n 3 "$work/log")"
    wanted=$(packages "$suite")
    # shellcheck disable=SC2086 # one word for each package
    (cd "$work/debs" && apt-get download -qq $wanted) >"$work/log" 2>&1 ||
        fail "$suite: its packages cannot be had: $(tail -n 3 "$work/log")"
    for deb in "$work"/debs/*.deb; do
        dpkg-deb --extract "$deb" "$work/root" || fail "$suite: $deb cannot be unpacked"
    done
    touch "$work/root/.complete"
    # Another run may have been faster: whole is whole, whoever's it is.
    mv -T "$work/root" "$cache/$suite" 2>/dev/null || [ -e "$cache/$suite/.complete" ]
)

status=0
[ $# -gt 0 ] || set -- bullseye trixie sid
for suite; do
    packages "$suite" >/dev/null || { echo "no such suite: $suite" >&2; exit 2; }
    unpack "$suite" || status=1
done
exit $status
