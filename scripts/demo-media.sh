#!/usr/bin/env bash
# Makes three short clips for the demo channel, which look and sound different, in the given folder:
#
#   scripts/demo-media.sh data/demo
#
# A clip that is there already is left alone; one is written beside its name and renamed when it is whole.
set -euo pipefail

folder=${1:?usage: $0 FOLDER}
mkdir -p "$folder"
readonly size=1280x720 rate=25

# clip NAME TITLE SECONDS VIDEO AUDIO: the last two are libavfilter sources.
clip() {
  local file="$folder/$1.mp4" part="$folder/.$1.part"
  [[ -e "$file" ]] && return
  echo "demo-media: making $file"
  ffmpeg -nostdin -hide_banner -loglevel error -y \
    -f lavfi -i "$4" -f lavfi -i "$5" -t "$3" \
    -c:v libx264 -preset ultrafast -crf 20 -pix_fmt yuv420p -r "$rate" -g $((2 * rate)) \
    -c:a aac -b:a 128k -ar 48000 -ac 2 \
    -metadata title="$2" -movflags +faststart -f mp4 "$part"
  mv "$part" "$file"
}

# A test card with a running clock and a beep each second; slow colours with a chord; a growing colony of
# cells with a pulsing note.
clip 01-test-card "Test card" 20 \
  "testsrc2=size=$size:rate=$rate" \
  "sine=frequency=440:beep_factor=3:sample_rate=48000,volume=0.5" &
clip 02-slow-colours "Slow colours" 24 \
  "gradients=size=320x180:rate=$rate:c0=0x0f766e:c1=0x7c3aed:c2=0xf59e0b:c3=0x1d4ed8:n=4:speed=0.02,scale=$size:flags=bilinear" \
  "aevalsrc='0.1*(sin(2*PI*196*t)+sin(2*PI*246.94*t)+sin(2*PI*293.66*t))*(0.7+0.3*sin(2*PI*0.25*t))|0.1*(sin(2*PI*196*t)+sin(2*PI*246.94*t)+sin(2*PI*369.99*t))*(0.7+0.3*cos(2*PI*0.25*t))':sample_rate=48000" &
clip 03-cells "Cells" 16 \
  "life=size=160x90:rate=$rate:seed=7:ratio=0.35:mold=12:life_color=0x5eead4:death_color=0x1e293b:mold_color=0x312e81,scale=$size:flags=neighbor" \
  "aevalsrc='0.25*sin(2*PI*(if(lt(mod(t,2),1),330,392))*t)*exp(-4*mod(t,0.5))':sample_rate=48000:channel_layout=mono" &

failed=0
for job in $(jobs -p); do wait "$job" || failed=1; done
exit "$failed"
