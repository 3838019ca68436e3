# The commands that the README names. `make help` lists them.
.DEFAULT_GOAL := help

# A checkout that is made anew for every run keeps what was built.
ifeq ($(CI),true)
export CARGO_TARGET_DIR ?= $(HOME)/.cache/storyflag-target
endif
export CARGO_TERM_COLOR ?= auto

.PHONY: run test bench demo fmt lint vectors help

run: ## start the service on http://localhost:8080, on SQLite
	cargo run --package storyflag-server -- serve

test: ## every test, on SQLite and on Postgres; installs Postgres, Redis and Prometheus when they are missing
	$(MAKE) --no-print-directory vectors
	./scripts/test-services.sh run cargo test --workspace

bench: ## measure evaluation, delivery, telemetry, releases and the SDK's weight, beside floors and goals
	./scripts/install-test-services.sh
	./scripts/test-services.sh run cargo bench --package storyflag-tests

demo: ## watch a plan carry itself out, turn back, and arrive at 100 %, in under two minutes
	cargo run --release --package storyflag-server -- demo

fmt: ## format
	cargo fmt --all

lint: ## what .ci/run refuses: format, clippy, rustdoc
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

vectors: ## check the golden vectors against the independent program
	./scripts/install-test-services.sh --python
	PATH="$${STORYFLAG_VENV:-$$HOME/.cache/storyflag-venv}/bin:$$PATH" python3 evaluation/testdata/reference.py --check

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
