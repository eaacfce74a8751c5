#!/usr/bin/env bash
# Fuzzes each target of fuzz/ for SECONDS_EACH=600, from a corpus that begins with what is real. A fault ends it; its input is in
# fuzz/artifacts. What was run is in docs/reliability.md.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${SECONDS_EACH:-600}
cargo fuzz --version >/dev/null 2>&1 || cargo install --locked cargo-fuzz

# A little of a real stream, as sources deliver it; the first byte says in what pieces it comes.
seed=fuzz/corpus/splicer/real
mkdir -p fuzz/corpus/{splicer,config_patch,cursors,playlist_paths}
if [[ ! -e "$seed" ]]; then
  { printf '\x40'
    ffmpeg -nostdin -loglevel error -f lavfi -i testsrc2=size=64x36:rate=25 -f lavfi -i sine=frequency=440:sample_rate=48000 -t 3 \
      -c:v libx264 -preset ultrafast -g 25 -bf 2 -c:a aac -b:a 32k -f mpegts -output_ts_offset 10 -; } >"$seed"
fi
printf '{"name":"Two","ladder":[{"resolution":"720p","bitrate":2500000}],"labels":{"a":"b"},"logo":null,"loudness":"off"}' \
  >fuzz/corpus/config_patch/real
printf '1764489600000000.7.00000000-0000-7000-8000-000000000001' >fuzz/corpus/cursors/audit
printf '0195d1a4-7c1e-7a52-b6a4-5f1f8e2f9c11.t616263' >fuzz/corpus/cursors/media
printf '720p-42.ts' >fuzz/corpus/playlist_paths/segment
printf 'subtitles-en-42.vtt' >fuzz/corpus/playlist_paths/subtitles

for target in splicer config_patch cursors playlist_paths; do
  echo "== $target, $seconds s"
  cargo +nightly fuzz run "$target" -- -max_total_time="$seconds" -max_len=65536 -rss_limit_mb=4096 -print_final_stats=1
done
