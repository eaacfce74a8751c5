#!/usr/bin/env bash
# The pure crates take bytes, numbers, time and chance as arguments: nothing in their sources may reach for a
# task, a file, the network, a process, a clock or a random number. And nothing anywhere is left to be done.
# (What their Cargo.toml may name is checked by check-dependencies.mjs.)
set -euo pipefail
cd "$(dirname "$0")/.."

readonly PURE=(crates/domain/src crates/media/src)
# Addresses are plain values; sockets and look-ups are not.
readonly IMPURE='\btokio\b|\bstd::(fs|process|thread|env|os)\b|\bstd::io::(stdin|stdout|stderr)\b'\
'|\bstd::net::(\{[^}]*)?\b(Tcp|Udp|ToSocketAddrs)|\bInstant\b|\bSystemTime\b|\b(Timestamp|Zoned)::now\b'\
'|\b(rand|getrandom|fastrand)::|\bnow_v7\b|\bnew_v4\b|\bRandomState\b'\
'|\.(exists|metadata|canonicalize|read_dir|is_file|is_dir|symlink_metadata)\(\)'
readonly UNDONE='\b(todo|unimplemented|dbg)!'

# search PATTERN PATH…: the hits outside comments, as file:line:text.
search() {
  local pattern=$1
  shift
  find "$@" -name '*.rs' -print0 | sort -z | while IFS= read -r -d '' file; do
    sed -E 's@(^|[^:"])//.*$@\1@' "$file" | { grep -nP "$pattern" || true; } | sed "s@^@$file:@"
  done
}

failed=0
hits=$(search "$IMPURE" "${PURE[@]}")
if [[ -n "$hits" ]]; then
  printf 'check-purity: the pure tier takes time, chance and bytes as arguments:\n%s\n' "$hits" >&2
  failed=1
fi
folders=()
for folder in src actors crates tests proptests benches; do [[ -d "$folder" ]] && folders+=("$folder"); done
hits=$(search "$UNDONE" "${folders[@]}")
if [[ -n "$hits" ]]; then
  printf 'check-purity: left undone:\n%s\n' "$hits" >&2
  failed=1
fi
exit "$failed"
