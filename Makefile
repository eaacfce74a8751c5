# The one command surface; continuous integration (.ci/run) calls only `make check` and `make test`.
# `make help` lists the targets.
.DEFAULT_GOAL := help
.PHONY: help run test check bench soak fuzz web web-deps clean
SHELL := /bin/bash

# The folder to put on air (three generated clips when empty), where the daemon keeps everything, and more
# flags for `playoutd serve`.
MEDIA ?=
DATA ?= data
ARGS ?=
export MEDIA DATA

# How long a soak takes, and the seed of its faults (another each time when empty).
MINUTES ?= 30
SEED ?=
export MINUTES SEED

# How long each fuzz target runs.
SECONDS_EACH ?= 600
export SECONDS_EACH

TARGET := $(or $(CARGO_TARGET_DIR),target)
WEB_SOURCES := web/watch.html web/package.json web/vite.config.ts web/tsconfig.json $(shell find web/src -type f ! -name '*.test.ts')

help: ## this list
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 14

run: ## put a demo channel on air; MEDIA=/some/folder plays that folder, DATA=, ARGS= as the README says
	@if [[ -n "$$MEDIA" && ! -d "$$MEDIA" ]]; then echo "make run: MEDIA=$$MEDIA is not a folder" >&2; exit 1; fi
	@scripts/install-deps.sh run
	@$(MAKE) --no-print-directory web
	cargo build --release --locked --bin playoutd
	@[[ -n "$$MEDIA" ]] || scripts/demo-media.sh "$$DATA/demo"
	@exec "$(TARGET)/release/playoutd" serve --data-dir "$$DATA" --on-air "$${MEDIA:-$$DATA/demo}" $(ARGS)

test: ## everything that is tested: page, property, database, daemon and browser tests
	@scripts/install-deps.sh test
	@$(MAKE) --no-print-directory web
	cd web && npm test
	cd web && npm run test:page
	scripts/test.sh

check: ## format, lints, types, purity, dependency directions, documents, scripts
	@scripts/install-deps.sh build
	@$(MAKE) --no-print-directory web
	scripts/check-scripts.sh
	scripts/check-purity.sh
	scripts/check-docs.sh
	node scripts/check-dependencies.mjs
	cargo fmt --all --check
	cd web && npm run typecheck
	cargo clippy --workspace --all-targets --locked -- -D warnings

bench: ## measure speed and recovery; takes minutes, and wants the machine for itself
	@scripts/install-deps.sh bench
	@$(MAKE) --no-print-directory web
	scripts/bench.sh

fuzz: ## fuzz each target for SECONDS_EACH=600; wants a nightly Rust and, the first time, cargo-fuzz from crates.io
	scripts/fuzz.sh

soak: ## random faults for MINUTES=30; fails on any break, leak or growth; SEED= repeats a run
	@scripts/install-deps.sh test
	@$(MAKE) --no-print-directory web
	@cargo bench --locked --bench soak

web: web/dist/watch.html ## the watch page, built only when its sources are newer
web-deps: web/node_modules/.package-lock.json

# npm writes this file last, so an interrupted install leaves none.
web/node_modules/.package-lock.json: web/package.json web/package-lock.json web/.npmrc
	cd web && npm ci --no-progress
	@touch $@

web/dist/watch.html: $(WEB_SOURCES) web/node_modules/.package-lock.json
	cd web && npm run build
	@touch $@

clean: ## remove what was built; never data
	cargo clean
	rm -rf web/dist web/node_modules
