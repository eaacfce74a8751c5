#!/usr/bin/env bash
# Parses every shell script and refuses one that cannot be run or does not stop at the first error.
set -euo pipefail
cd "$(dirname "$0")/.."

failed=0
complain() { echo "check-scripts: $*" >&2; failed=1; }
for script in scripts/*.sh .ci/run; do
  bash -n "$script" || failed=1
  [[ -x "$script" ]] || complain "$script is not executable"
  grep -q '^set -euo pipefail$' "$script" || complain "$script lacks 'set -euo pipefail'"
done
for script in scripts/*.mjs; do
  node --check "$script" || failed=1
done
exit "$failed"
