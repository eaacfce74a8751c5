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

# Nearly every test makes a database or two: in memory, where there is plenty of it and programs may be run there, that
# costs half of what it does on a disk. Its name is short: names of sockets have an end. What is there at the end goes,
# but the logs of daemons whose tests failed.
in_memory() {
  local shm=/dev/shm here
  [[ -z "${TMPDIR:-}" ]] && mountpoint -q "$shm" || return 1
  (($(df --output=avail -BG "$shm" | tail -n 1 | tr -dc '0-9') >= 6)) || return 1
  (($(awk '/^MemAvailable:/ { print $2 }' /proc/meminfo) >= 8 << 20)) || return 1
  here=$(mktemp -d "$shm/p.XXX") || return 1
  chmod 755 "$here"
  if ! { printf '#!/bin/sh\n' >"$here/try" && chmod +x "$here/try" && "$here/try"; }; then
    rm -rf "$here"
    return 1
  fi
  echo "$here"
}
leave() {
  local kept=${CARGO_TARGET_DIR:-target}/tmp
  mkdir -p "$kept"
  find "$TMPDIR" -maxdepth 1 -name 'playoutd-*.log' -exec mv -t "$kept" {} + || true
  rm -rf "$TMPDIR"
}
if memory=$(in_memory); then
  export TMPDIR=$memory
  trap leave EXIT
fi

status=0
if (($# == 0)); then cargo test --workspace --locked --doc --quiet || status=$?; fi
if cargo nextest --version >/dev/null 2>&1; then
  cargo nextest run --workspace --locked "$@" || status=$?
elif (($# == 0)); then
  cargo test --workspace --locked --no-fail-fast --lib --bins --tests || status=$?
else
  cargo test --locked --no-fail-fast "$@" || status=$?
fi

# Processes that carry the mark, and those whose folder is in the one that goes at the end: Redis writes its title over its
# environment.
marked() {
  local cwd
  grep -lsaF "PLAYOUT_TEST_RUN=$mark" /proc/[0-9]*/environ || true
  [[ -n "${memory:-}" ]] || return 0
  for cwd in /proc/[0-9]*/cwd; do
    [[ "$(readlink "$cwd" 2>/dev/null)" == "$memory"/* ]] && echo "$cwd"
  done
  return 0
}

# Those of them besides this shell and its own children.
left_over() {
  local found pid parent name
  while IFS= read -r found; do
    pid=${found#/proc/} pid=${pid%/*}
    parent=$(awk '/^PPid:/ { print $2 }' "/proc/$pid/status" 2>/dev/null) || continue
    ((pid != $$ && pid != BASHPID && parent != $$ && parent != BASHPID)) || continue
    name=$(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null) || continue
    [[ -n "$name" ]] && printf '  %s %.120s\n' "$pid" "$name"
  done < <(marked)
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
