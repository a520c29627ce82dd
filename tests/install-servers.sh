#!/bin/sh
# Installs the servers that the tests start for themselves. Says what it does; does nothing where they are there already.
set -eu

here=$(dirname "$0")
fetch_jars() {
    sh "$here/kafka/install.sh" "${PYTHON:-python3}"
    sh "$here/opensearch/install.sh"
}
missing=""
[ -x /usr/sbin/mariadbd ] || command -v mariadbd >/dev/null 2>&1 || missing="$missing mariadb-server"
command -v redis-server >/dev/null 2>&1 || missing="$missing redis-server"
# Apache Kafka and OpenSearch run on Java; Maven fetches their jars, and a class that starts OpenSearch is compiled.
command -v javac >/dev/null 2>&1 || missing="$missing default-jdk-headless"
command -v mvn >/dev/null 2>&1 || missing="$missing maven"
if [ -z "$missing" ]; then
    fetch_jars
    exit 0
fi
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "==> cannot install$missing (that needs root and apt): the tests that use them will not run, and say so"
    fetch_jars
    exit 0
fi
echo "==> installing$missing from Debian's packages (no service is started; the tests start their own)"
export DEBIAN_FRONTEND=noninteractive
# Some images ship without package lists; policy-rc.d keeps the packages from starting services of their own.
apt-get update -qq
[ -e /usr/sbin/policy-rc.d ] || { printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d; chmod +x /usr/sbin/policy-rc.d; }
apt-get install -y -qq --no-install-recommends $missing >/dev/null
fetch_jars
