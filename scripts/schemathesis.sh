#!/usr/bin/env bash
# Puts schemathesis, which tests the API by its OpenAPI document, into a folder of its own beside what cargo builds, in the
# versions of scripts/schemathesis.txt. Prints the path of the program; does nothing where it is there already.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly versions=scripts/schemathesis.txt
folder=$(realpath -m "${CARGO_TARGET_DIR:-target}/schemathesis")

if ! cmp -s "$versions" "$folder/installed.txt"; then
  echo "install-deps: installing schemathesis from PyPI" >&2
  rm -rf "$folder"
  python3 -m venv "$folder"
  "$folder/bin/pip" install --quiet --disable-pip-version-check --requirement "$versions" >&2
  cp "$versions" "$folder/installed.txt"
fi
echo "$folder/bin/schemathesis"
