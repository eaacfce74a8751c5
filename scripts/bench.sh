#!/usr/bin/env bash
# Measures speed on the release build; prints a Markdown table for docs/performance.md.
set -euo pipefail
cd "$(dirname "$0")/.."
echo "$(nproc) cores, $(ffmpeg -version | head -1 | cut -d' ' -f1-3), $(rustc --version)"
cargo bench --locked -p playout-domain --bench planning
cargo bench --locked --bench playout --bench library --bench api --bench recovery
