# squall's tasks. `make` alone lists them.

SHELL    := bash
BIN      := bin/squall
PREFIX   ?= /usr/local
GOFLAGS  += -trimpath


# Pinned, and built from source by the module proxy: nothing has to be installed.
GOLANGCI := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
GOVULN   := golang.org/x/vuln/cmd/govulncheck@latest

.PHONY: help
help: ## list the tasks
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/squall, one static binary
	@CGO_ENABLED=0 go build $(GOFLAGS) -ldflags='-s -w' -o $(BIN) ./cmd/squall

.PHONY: install
install: build ## install squall to PREFIX/bin (/usr/local/bin)
	install -D -m 0755 $(BIN) $(DESTDIR)$(PREFIX)/bin/squall

.PHONY: demo
demo: build ## a small shop, two experiments, a report: needs Linux, Go and root
	@$(BIN) demo

.PHONY: test
test: ## set up what the tests need (Debian packages, Docker engine), and run every test
	@scripts/test all

.PHONY: test-kernel
test-kernel: ## netem on a kernel that has it: the tests inside user-mode Linux
	@scripts/test kernel

.PHONY: bench
bench: ## measure, against a physical limit or another way in the same run
	@scripts/test bench

.PHONY: lint
lint: ## gofmt, go vet on every platform, golangci-lint, govulncheck, go mod tidy
	@scripts/lint "$(GOLANGCI)" "$(GOVULN)"

.PHONY: generate
generate: build ## write the JSON Schema and the reference from the types
	$(BIN) schema > experiments/schema.json
	$(BIN) schema --reference > docs/reference.md
