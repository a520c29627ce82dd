#!/bin/sh
# Fetches OpenSearch's jars from Maven Central into the user's cache, once, and compiles the class that starts a node.
set -eu

here=$(dirname "$0")
version=$(sed -n '/<artifactId>opensearch</{n;s:.*<version>\(.*\)</version>.*:\1:p;}' "$here/pom.xml")
jars="${XDG_CACHE_HOME:-$HOME/.cache}/flowloom/opensearch-$version"
if [ -e "$jars/complete" ]; then
    exit 0
fi
if ! command -v mvn >/dev/null 2>&1 || ! command -v javac >/dev/null 2>&1; then
    echo "==> NOTE: no javac and mvn here, so no OpenSearch: its tests will not run, and say so"
    exit 0
fi
echo "==> fetching OpenSearch $version from Maven Central into $jars (45 MB, once)"
making="$jars.$$"
mkdir -p "$making"
if mvn -B -q -f "$here/pom.xml" dependency:copy-dependencies -DoutputDirectory="$making" >"$making/maven.log" 2>&1 &&
    javac -cp "$making/*" -d "$making" "$here/SearchNode.java"; then
    touch "$making/complete"
    # Whoever fetched them meanwhile has the same ones.
    mv "$making" "$jars" 2>/dev/null || rm -rf "$making"
    exit 0
fi
echo "==> NOTE: OpenSearch could not be had: its tests will not run, and say so"
tail -n 5 "$making/maven.log"
rm -rf "$making"
