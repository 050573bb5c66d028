#!/usr/bin/env bash
# Puts Compose v2 where the docker command finds it, from Debian's next suite, for machines whose
# own suite has v1 alone. Nothing is installed: the package is unpacked and one file copied.
set -euo pipefail

docker compose version >/dev/null 2>&1 && exit 0

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
# The mirror is the one that this machine uses already.
site=$(apt-get indextargets --format '$(SITE)|$(RELEASE)' | awk -F'|' -v suite="$suite" '$2 == suite { print $1; exit }')
echo "deb $site trixie main" >"$work/sources.list"

next() {
    apt-get -qq -o "Dir::Etc::SourceList=$work/sources.list" -o Dir::Etc::SourceParts=- \
        -o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=root "$@"
}
cd "$work"
next update
next download docker-compose
dpkg -x docker-compose_*.deb unpacked
install -D unpacked/usr/libexec/docker/cli-plugins/docker-compose "$HOME/.docker/cli-plugins/docker-compose"
docker compose version
