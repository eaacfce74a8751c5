#!/usr/bin/env bash
# Documents that state what the code states: the drawing of the tree is the table's own, every relative link leads
# to something, and tests that are named exist.
set -euo pipefail
cd "$(dirname "$0")/.."

failed=0
complain() { echo "check-docs: $*" >&2; failed=1; }

# block FENCE-LINE FILE: the lines between the fence and its end, comment marks removed.
block() { sed -E 's@^//! ?@@' "$2" | awk -v fence="$1" '/^```/ { if (inside) exit; inside = ($0 == fence); next } inside'; }
if [[ "$(block '```text' actors/src/tree.rs)" != "$(sed -n '/^## The tree$/,$p' docs/ARCHITECTURE.md | block '```text' /dev/stdin)" ]]; then
  complain "docs/ARCHITECTURE.md draws another tree than actors/src/tree.rs"
fi

while IFS=: read -r file link; do
  target=${link#*](} target=${target%)} target=${target%%#*}
  [[ -z "$target" || "$target" == *://* || -e "$(dirname "$file")/$target" ]] || complain "$file links to $target, which is not there"
done < <(grep -oE '\]\([^) ]+\)' README.md docs/*.md docs/decisions/*.md 2>/dev/null)

# Tests that the table of failures names are there.
while IFS= read -r name; do
  grep -rqE "fn ${name##*::}\b" --include='*.rs' tests proptests actors crates || complain "docs/reliability.md names ${name}, which is no test"
done < <(grep -oE '`[a-z0-9_]+(::[a-z0-9_]+)+`' docs/reliability.md | tr -d '`')
exit "$failed"
