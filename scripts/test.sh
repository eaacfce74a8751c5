#!/usr/bin/env bash
# Runs every Rust test of the workspace, with cargo-nextest where it is installed and `cargo test` where not,
# and then fails when a process that a test started is still there.
#
#   scripts/test.sh                  everything
#   scripts/test.sh --test daemon    arguments go to the test command
set -euo pipefail
cd "$(dirname "$0")/.."

# Every process below inherits this mark, whatever it does to its parent or its process group.
mark=$(date +%s)-$$
export PLAYOUT_TEST_RUN="$mark"

status=0
if (($# == 0)); then cargo test --workspace --locked --doc --quiet || status=$?; fi
if cargo nextest --version >/dev/null 2>&1; then
  cargo nextest run --workspace --locked "$@" || status=$?
elif (($# == 0)); then
  cargo test --workspace --locked --no-fail-fast --lib --bins --tests || status=$?
else
  cargo test --locked --no-fail-fast "$@" || status=$?
fi

# The processes that carry the mark, besides this shell and its own children.
left_over() {
  local environ pid parent name
  while IFS= read -r environ; do
    pid=${environ#/proc/} pid=${pid%/environ}
    parent=$(awk '/^PPid:/ { print $2 }' "/proc/$pid/status" 2>/dev/null) || continue
    ((pid != $$ && pid != BASHPID && parent != $$ && parent != BASHPID)) || continue
    name=$(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null) || continue
    [[ -n "$name" ]] && printf '  %s %.120s\n' "$pid" "$name"
  done < <(grep -lsaF "PLAYOUT_TEST_RUN=$mark" /proc/[0-9]*/environ)
  return 0
}

# A process that was just killed takes a moment to go, and shared test servers end after the run, gently.
for ((i = 0; i < 300; i++)); do
  left=$(left_over)
  [[ -z "$left" ]] && exit "$status"
  sleep 0.1
done
echo "test.sh: these processes outlived the tests that started them:" >&2
echo "$left" >&2
exit 1
