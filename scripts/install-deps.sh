#!/usr/bin/env bash
# Installs from Debian's packages what this project needs and the machine lacks:
#
#   scripts/install-deps.sh build   a C linker for cargo, nodejs, npm
#   scripts/install-deps.sh run     build, and ffmpeg, postgresql, redis-server, ca-certificates,
#                                   fonts-dejavu-core
#   scripts/install-deps.sh test    run, and nginx with its RTMP module, chromium, python3, python3-venv,
#                                   libxml2-utils, libxmltv-perl; and schemathesis from PyPI
#   scripts/install-deps.sh bench   test, and wrk
#
# Rust itself it only looks for, and says where to get it. Looks for the programs themselves, not for packages, so a Node or FFmpeg from elsewhere is respected.
# Installs as root or by sudo; where neither works it prints the one line to run and exits 1. Debian starts a
# server when its package is installed: here none is started, none that was running is stopped, and where
# systemd runs the new ones are not enabled either, because the daemon and the tests start their own.
set -euo pipefail
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

readonly NODE_AT_LEAST=18
missing=()

have() { command -v "$1" >/dev/null 2>&1; }
need() { missing+=("$@"); }
any_file() { compgen -G "$1" >/dev/null; }

# Rust comes from its own installer, never from Debian, whose version is too old.
check_rust() {
  local wanted found lower
  wanted=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' "$(dirname "$0")/../Cargo.toml" | head -n 1)
  if ! have cargo; then
    echo "install-deps: no cargo in PATH: please install Rust $wanted or later from https://rustup.rs" >&2
    exit 1
  fi
  found=$(cargo --version | awk '{ print $2 }')
  lower=$(printf '%s\n%s\n' "$wanted" "$found" | sort -V | head -n 1)
  if [[ "$lower" != "$wanted" ]]; then
    echo "install-deps: cargo is $found, but Rust $wanted or later is needed: please run 'rustup update'" >&2
    exit 1
  fi
}

check_build() {
  check_rust
  have cc || need gcc libc6-dev
  if have node; then
    local version major
    version=$(node --version)
    major=${version#v}
    if ((${major%%.*} < NODE_AT_LEAST)); then
      echo "install-deps: $(command -v node) is Node $version, but $NODE_AT_LEAST or later is needed; please update it" >&2
      exit 1
    fi
  else
    need nodejs
  fi
  have npm || need npm
}
check_run() {
  check_build
  { have ffmpeg && have ffprobe; } || need ffmpeg
  # initdb and postgres lie beside each other, and on Debian not in PATH.
  { have initdb && have postgres; } || any_file '/usr/lib/postgresql/*/bin/initdb' || need postgresql
  have redis-server || need redis-server
  # Where the certificates of platforms are checked against.
  any_file '/etc/ssl/certs/ca-certificates.crt' || need ca-certificates
  # The letters of overlays.
  any_file '/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf' || need fonts-dejavu-core
}
check_test() {
  check_run
  have nginx || need nginx
  any_file '/usr/lib/nginx/modules/ngx_rtmp_module.so' || need libnginx-mod-rtmp
  have "${CHROMIUM:-chromium}" || have chromium-browser || have google-chrome || need chromium
  # schemathesis goes into a folder of its own.
  { have python3 && python3 -c 'import ensurepip' >/dev/null 2>&1; } || need python3-venv
  # Reads XMLTV with a parser that is not the daemon's, and judges it by the XMLTV project's own DTD.
  have python3 || need python3
  have xmllint || need libxml2-utils
  any_file '/usr/share/sgml/xmltv/dtd/0.5/xmltv.dtd' || need libxmltv-perl
}
check_bench() {
  check_test
  # Asks as fast as it is answered.
  have wrk || need wrk
}

case "${1:-}" in
  build) check_build ;;
  run) check_run ;;
  test) check_test ;;
  bench) check_bench ;;
  *)
    echo "usage: $0 build|run|test|bench" >&2
    exit 2
    ;;
esac
if ((${#missing[@]} == 0)); then
  if [[ "$1" == test || "$1" == bench ]]; then "$(dirname "$0")/schemathesis.sh" >/dev/null; fi
  exit 0
fi
if [[ "${2:-}" == again ]]; then
  echo "install-deps: installed, but still not found: what the packages ${missing[*]} bring" >&2
  exit 1
fi

if ! have apt-get; then
  echo "install-deps: not a Debian system; please install what gives: ${missing[*]}" >&2
  exit 1
fi
if ((EUID == 0)); then
  as_root=(env)
elif have sudo && { sudo -n true 2>/dev/null || [[ -t 0 && -t 2 ]]; }; then
  as_root=(sudo)
else
  {
    echo "install-deps: missing and not installable without root. Please run as root:"
    echo
    echo "  apt-get update && apt-get install -y --no-install-recommends ${missing[*]}"
  } >&2
  exit 1
fi

echo "install-deps: installing ${missing[*]}"
# One script for the root side: the guard it puts up is taken down again however it ends.
"${as_root[@]}" bash -s -- "${missing[@]}" <<'ROOT'
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
guard=/usr/sbin/policy-rc.d
units=()
for package in "$@"; do
  case "$package" in
    postgresql) units+=(postgresql.service) ;;
    redis-server | nginx) units+=("$package.service") ;;
  esac
done

# Asked by every package before it starts or stops a service (101: no). One that is already there is the
# administrator's and stays.
if [ ! -e "$guard" ]; then
  trap 'rm -f "$guard"' EXIT
  trap 'exit 130' INT TERM HUP
  printf '#!/bin/sh\ncase "$1" in postgresql* | redis-server* | nginx*) exit 101 ;; esac\nexit 0\n' >"$guard"
  chmod 755 "$guard"
fi

# Thousands of lines that matter only when something fails; a dot for each fifty shows that it moves.
log=$(mktemp)
quietly() {
  if ! "$@" </dev/null 2>&1 | tee -a "$log" | awk 'NR % 50 == 0 { printf "."; fflush() }'; then
    printf '\n'
    tail -n 40 "$log" >&2
    echo "install-deps: failed: $*" >&2
    exit 1
  fi
}
apt=(apt-get -o DPkg::Lock::Timeout=120 -o Dpkg::Use-Pty=0 -q)
quietly "${apt[@]}" update
quietly "${apt[@]}" install -y --no-install-recommends --no-upgrade "$@"
printf '\n'
rm -f "$log"

if [ -d /run/systemd/system ]; then
  for unit in "${units[@]}"; do
    systemctl is-active --quiet "$unit" || systemctl --quiet disable "$unit" || true
  done
fi
ROOT
hash -r

# The same question again: a package that does not bring what was looked for is an error now, not later.
exec "$0" "$1" again
