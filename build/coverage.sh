#!/bin/sh
# Runs all tests once and prints the line coverage of each assembly, merged over the test projects.
#   build/coverage.sh [OPTIONS OF DOTNET TEST]
set -eu
cd "$(dirname "$0")/.."
results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT
status=0
# Each line is counted once, because counters in the loops of the kernels would make the tests many times slower. The tests that run
# other tests again in child processes are left out: child processes are not counted.
dotnet test --collect "XPlat Code Coverage" --results-directory "$results" --filter "FullyQualifiedName!~InstructionSetTests" "$@" \
  -- DataCollectionRunSettings.DataCollectors.DataCollector.Configuration.SingleHit=true || status=$?

# The reports are Cobertura files. A line that several projects ran is counted once; generated files are left out.
find "$results" -name coverage.cobertura.xml -exec awk '
  function attribute(name) { return match($0, " " name "=\"[^\"]*\"") ? substr($0, RSTART + length(name) + 3, RLENGTH - length(name) - 4) : "" }
  /<source>/ { source = $0; gsub(/.*<source>|<\/source>.*/, "", source) }
  /<package / { assembly = attribute("name") }
  /<class / { file = source "/" attribute("filename"); gsub(/\/+/, "/", file) }
  # test/RepVgg.Testing compiles a file of the samples.
  /<line / && assembly != "RepVgg.Testing" && file ~ /\/src\// && file !~ /\/obj\// {
    key = assembly SUBSEP file SUBSEP attribute("number")
    if (!(key in hits)) { hits[key] = 0; lines[assembly]++ }
    if (!hits[key] && attribute("hits") > 0) { hits[key] = 1; covered[assembly]++ }
  }
  END { for (assembly in lines) printf "%-22s %6d of %6d lines, %5.1f %%\n", assembly, covered[assembly], lines[assembly], 100 * covered[assembly] / lines[assembly] }
' {} + | sort
exit "$status"
