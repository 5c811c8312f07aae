SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

# Outside the clone: a fresh clone reuses the last build, and the listing shows the system.
export CARGO_TARGET_DIR ?= $(HOME)/.cache/parking/target
export PARKING_TOOLS ?= $(HOME)/.cache/parking/tools
export PARKING_PYTHON ?= $(PARKING_TOOLS)/python/bin/python
export PARKING_SPARK ?= $(PARKING_TOOLS)/spark

# Always the whole workspace: cargo then unifies features once, and demo, tests and checks share every build.
cargo_flags := --locked --workspace
parking := $(CARGO_TARGET_DIR)/debug/parking
parking_release := $(CARGO_TARGET_DIR)/release/parking
typos := $(PARKING_TOOLS)/python/bin/typos --config .typos.toml
timed := .ci/timed

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## Run a city's car parks: 35,717 real readings in, alerts, tables and statistics out
	@.ci/install build
	cargo build $(cargo_flags) --bin parking
	$(parking) up -f examples/birmingham --until-idle

# These need what `.ci/install all` builds: an API server, an object store, helm. Nothing else does.
server_tests := api_server bench_on_servers bucket_on_minio chart kubectl_plugin lake_on_s3 operator operator_scale worker_on_servers
all_tests := $(basename $(notdir $(wildcard */tests/*.rs))) $(notdir $(patsubst %/main.rs,%,$(wildcard */tests/*/main.rs)))
own_tests := $(sort $(filter-out $(server_tests),$(all_tests)))
on_servers := $(server_tests:%=--test %)
on_its_own := --lib --bins $(own_tests:%=--test %)

.PHONY: test
test: ## Run every test that needs neither Kubernetes nor an object store (installs what it needs on Debian as root)
	@.ci/install programs
	@$(timed) 'test: build' cargo build $(cargo_flags) --bins
	@$(timed) 'test: build tests' cargo test $(cargo_flags) $(on_its_own) --no-run
	@$(timed) 'test: run' cargo test $(cargo_flags) $(on_its_own) --no-fail-fast
	@$(timed) 'test: instructions of an event' cargo test $(cargo_flags) --test instructions -- --include-ignored

.PHONY: e2e
e2e: ## Run the operator and its charts against a real API server and object store
	@.ci/install all
	@$(timed) 'e2e: build' cargo build $(cargo_flags) --bins
	@$(timed) 'e2e: build tests' cargo test $(cargo_flags) $(on_servers) --no-run
	@$(timed) 'e2e: run' cargo test $(cargo_flags) $(on_servers) --no-fail-fast

verify_steps := format spelling scripts clippy docs rules

.PHONY: verify $(verify_steps:%=verify-%)
verify: verify-tools $(verify_steps:%=verify-%) ## Check what needs no test: format, lints, docs, spelling, scripts, licences, rules of the repository

.PHONY: verify-tools
verify-tools:
	@.ci/install programs

verify-format:
	@$(timed) 'verify: format' cargo fmt --all --check

verify-spelling:
	@$(timed) 'verify: spelling' $(typos)

verify-scripts:
	@$(timed) 'verify: scripts' shellcheck .ci/install .ci/run .ci/timed e2e/cluster/build $$(git ls-files '*.sh')

verify-clippy:
	@$(timed) 'verify: clippy' cargo clippy $(cargo_flags) --all-targets -- -D warnings

verify-docs:
	@RUSTDOCFLAGS='-D warnings' $(timed) 'verify: docs' cargo doc $(cargo_flags) --no-deps --document-private-items

verify-rules:
	@$(timed) 'verify: rules of the repository' cargo test $(cargo_flags) --test repository_rules

.PHONY: fix
fix: ## Repair what can be repaired: format, lints, spelling
	@.ci/install programs
	cargo fmt --all
	cargo clippy $(cargo_flags) --all-targets --fix --allow-dirty --allow-staged
	$(typos) --write-changes

# Each package compares its committed files in a test named `generated`, and writes them when told to.
.PHONY: generate
generate: ## Write the committed files that are made from the code: CRDs, references, interface descriptions
	@.ci/install build
	PARKING_GENERATE=1 cargo test $(cargo_flags) --test generated

.PHONY: instructions
instructions: ## Write the baseline of instructions an event, after a change that moves it on purpose
	@.ci/install programs
	cargo build $(cargo_flags) --bin parking
	PARKING_GENERATE=1 cargo test $(cargo_flags) --test instructions -- --include-ignored

soaks := $(addprefix soak-,start kills races rows operator)

# Each row of the table of faults leaves a line there.
soak $(soaks) soak-table: export PARKING_FAULT_TABLE := $(CARGO_TARGET_DIR)/fault-table.ndjson

.PHONY: soak $(soaks)
soak: ## Do to a running city all that the table of faults names, so often that a rare mistake shows; print the table (hours)
	@rm -f $(PARKING_FAULT_TABLE)
	@status=0; for part in $(soaks); do $(MAKE) $$part || status=1; done; $(MAKE) soak-table; exit $$status

soak-start:
	@.ci/install all
	cargo build $(cargo_flags) --release --bin parking
	cargo build $(cargo_flags) --bins

soak-kills:
	PARKING_BIN=$(parking_release) cargo test $(cargo_flags) --test soak -- --ignored --nocapture

soak-races:
	PARKING_RACES=1000 cargo test $(cargo_flags) --test lake_on_s3 row_ -- --nocapture
	PARKING_EVERY_BYTE=1 cargo test $(cargo_flags) --test embedded_durability row_ -- --nocapture

soak-rows:
	PARKING_KILLS=1000 PARKING_RECOVERY_KILLS=100 PARKING_ZOMBIES=200 PARKING_BROKER_RESTARTS=20 PARKING_MASTERS=20 \
		PARKING_CUTS=100 PARKING_BIN=$(parking_release) \
		cargo test $(cargo_flags) --test worker_on_servers row_ -- --include-ignored --nocapture --test-threads=1

soak-operator:
	cargo test $(cargo_flags) --test operator -- --ignored --nocapture

.PHONY: soak-table
soak-table: ## Print what the last soak found
	@cargo test --quiet $(cargo_flags) --test worker_on_servers the_table_of_faults -- --ignored --nocapture

features := grpc kafka redis s3

.PHONY: features features-pure features-none $(features:%=features-%)
features: features-pure features-none $(features:%=features-%) ## Check that the workers build with each of their features alone, test them without any, and the pure packages without C

# With a C compiler that refuses to work.
features-pure:
	@.ci/install build
	CC=false CXX=false CARGO_TARGET_DIR=$(CARGO_TARGET_DIR)/pure cargo test --locked -p parking-crds -p parking-domain --lib

embedded := --locked -p parking-workers --no-default-features

# The embedded product: without librdkafka, gRPC, the client of AWS and OpenSSL.
features-none:
	@.ci/install build
	cargo clippy $(embedded) -- -D warnings
	cargo test $(embedded) --lib --bins --test contract_embedded --test contract_memory --test lake_tables --test simulation
	cargo run $(embedded) --bin parking -- up -f examples/birmingham --until-idle

$(features:%=features-%): features-%:
	@.ci/install build
	cargo clippy $(embedded) --features $* -- -D warnings

.PHONY: bench
bench: ## Measure throughput, start and memory, alone and on servers, every answer checked (release build, 10 GB of disk)
	@.ci/install all
	@.ci/install spark
	cargo build $(cargo_flags) --release --bin parking
	$(parking_release) bench all
	PARKING_BIN=$(parking_release) cargo test $(cargo_flags) --test bench_on_servers -- --ignored --nocapture
	PARKING_BIN=$(parking_release) cargo test $(cargo_flags) --test worker_on_servers idle -- --ignored --nocapture

# This repository's own code is optimised for it, and no dependency: less time to build than it saves.
.PHONY: seeds
seeds: ## Run 10,000 seeds of the simulation, or PARKING_SEEDS of them
	@.ci/install build
	PARKING_SEEDS=$${PARKING_SEEDS:-10000} cargo test $(cargo_flags) --test simulation \
		--config 'profile.dev.package.parking-domain.opt-level=3' \
		--config 'profile.dev.package.parking-workers.opt-level=3' -- every_seed --nocapture

operator_release := $(CARGO_TARGET_DIR)/release/parking-operator

# The test itself is no part of what is measured: it is built as every other test is.
.PHONY: bench-operator
bench-operator: ## Measure the operator with 10,000 rules and 200 pipelines on an API server (release build)
	@.ci/install all
	cargo build $(cargo_flags) --release --bin parking-operator
	PARKING_OPERATOR_BIN=$(operator_release) cargo test $(cargo_flags) --test operator_scale -- --ignored --nocapture

tarpaulin_version := 0.37.5
tarpaulin := $(PARKING_TOOLS)/bin/cargo-tarpaulin

$(tarpaulin):
	@.ci/install build
	CARGO_TARGET_DIR=$(CARGO_TARGET_DIR)/tools cargo install cargo-tarpaulin --locked --version $(tarpaulin_version) --root $(PARKING_TOOLS)

# Only the pure parts: what touches disks, sockets and clocks is judged by contract suites and kills.
.PHONY: coverage
coverage: $(tarpaulin) ## Count the lines of domain and topology that unit tests reach; fails under 90 %
	CARGO_PROFILE_DEV_OPT_LEVEL=0 $(tarpaulin) tarpaulin --engine ptrace --locked --skip-clean --lib \
		--packages parking-crds parking-domain --timeout 600 --fail-under 90 --out Html \
		--include-files 'workers/domain/src/*' 'crds/src/topology*' \
		--target-dir $(CARGO_TARGET_DIR)/coverage --output-dir $(CARGO_TARGET_DIR)/coverage
