#!/bin/sh
# Writes the lists of the public surface, src/*/PublicAPI.Unshipped.txt: what the code declares and PublicAPI.Shipped.txt
# does not list. Of a member that Shipped.txt lists and the code no longer has, the build says which line to add (RS0017).
set -eu
cd "$(dirname "$0")/.."
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for list in src/*/PublicAPI.Unshipped.txt; do
  echo '#nullable enable' >"$list"
  # With an empty list, the analyzer names each public symbol in the form that the list has.
  dotnet build "$(dirname "$list")" --no-incremental --verbosity quiet -p:TreatWarningsAsErrors=false >"$log" || { cat "$log"; exit 1; }
  # The log also has the warnings of the projects that this one references.
  grep -F "/$(basename "$(dirname "$list")").csproj]" "$log" | sed -n "s/.*warning RS0016: Symbol '\(.*\)' is not part of the declared public API.*/\1/p" | LC_ALL=C sort -u >>"$list"
done
