# Every target says what it does; `make` lists them.

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LDFLAGS  = -s -w -X main.version=$(VERSION)

# How long each fuzz target runs.
FUZZTIME ?= 10s

# How often an input is run to make it smaller. Where goroutines are at work its
# coverage is never the same twice, and Go's default of a minute goes nowhere.
FUZZMINIMIZE ?= 20x

# More flags of the laboratory, as in make bench BENCHFLAGS=--quick.
BENCHFLAGS ?=

# What the programs are built for.
SYSTEMS       = linux darwin windows freebsd
ARCHITECTURES = amd64 arm64

.DEFAULT_GOAL = help
.PHONY: help build demo test race lint audit units fuzz hostile bench microbench chaos cross release clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build funnel-relay and funnel-agent into bin/
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/...

demo: build ## run a relay, an agent and two servers on this machine and measure the way through
	$(GO) run ./bench/demo --relay bin/funnel-relay --agent bin/funnel-agent

# How long the tests of one package may take: hangs have bounds of their own, and
# Go's default of 10m is not much for a busy machine.
TESTTIME ?= 30m

test: ## run all tests
	$(GO) test -timeout $(TESTTIME) ./...

race: ## run all tests with the race detector
	$(GO) test -timeout $(TESTTIME) -race ./...

lint: ## check formatting, go vet, staticcheck, and that go.mod is tidy
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo "these files need gofmt"; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	$(GO) mod tidy -diff

# Tools that look at the whole, by the versions and hashes in a go.mod of their own.
TOOL = $(GO) tool -modfile=packaging/tools/go.mod

# What gosec is not asked, or not about; all else is excepted in place, by
# "#nosec RULE -- reason".
# G103 unsafe: internal/arch names the packages that may, which talk to the kernel
# G104 unhandled errors: staticcheck finds those that matter; others are of closing what failed already
# G304 files by variables: the programs read what their user names, and no peer names any
# bench and internal/wan are for measuring, and in no release
GOSECFLAGS = -quiet -exclude=G103,G104,G304 -exclude-dir=bench -exclude-dir=internal/wan -exclude-dir=internal/e2e

audit: ## check for known vulnerabilities (govulncheck) and insecure code (gosec)
	$(GO) run ./packaging/audit
	$(TOOL) gosec $(GOSECFLAGS) ./...

# The exposure that systemd-analyze may find, in tenths: 0 is none, 100 all.
EXPOSURE = 20

units: ## check that the systemd units stay locked down (needs systemd)
	@set -e; mkdir -p bin; for unit in packaging/systemd/*.service; do \
		systemd-analyze security --offline=true --no-pager --threshold=$(EXPOSURE) $$unit > bin/exposure 2>&1 \
			&& tail -n 1 bin/exposure || { cat bin/exposure; exit 1; }; \
	done

fuzz: ## run every fuzz target for FUZZTIME
	@set -e; for package in $$($(GO) list ./...); do \
		for target in $$($(GO) test -list '^Fuzz' $$package | grep '^Fuzz' || true); do \
			GO='$(GO)' .ci/fuzz $$package $$target -fuzztime $(FUZZTIME) -fuzzminimizetime $(FUZZMINIMIZE); \
		done; \
	done

hostile: ## run the tests of load in full: 30,000 held at once, and a siege (Linux)
	FUNNEL_HOSTILE=1 FUNNEL_REQUIRE_ALL=1 $(GO) test -v -count=1 -timeout 15m -run '^(TestHeldAtOnce|TestUnderSiege)$$' ./internal/e2e

microbench: ## run every micro-benchmark briefly, so that none rots
	$(GO) test -run '^$$' -bench . -benchtime 50ms ./...

chaos: ## break paths, links and programs in all ways that are promised to be survived, and print for how long it shows (Linux, as root)
	FUNNEL_CHAOS=full FUNNEL_REQUIRE_ALL=1 $(GO) test -v -count=1 -timeout 4h ./internal/e2e/chaos

bench: build ## measure against direct traffic and ssh over emulated links, ending in a report (Linux, as root)
	$(GO) build -o bin/bench ./bench
	bin/bench run --relay bin/funnel-relay --agent bin/funnel-agent $(BENCHFLAGS)

cross: ## build for every system and architecture
	@set -e; for system in $(SYSTEMS); do for architecture in $(ARCHITECTURES); do \
		echo "$$system/$$architecture"; \
		GOOS=$$system GOARCH=$$architecture CGO_ENABLED=0 $(GO) vet ./...; \
		GOOS=$$system GOARCH=$$architecture CGO_ENABLED=0 $(GO) build -o /dev/null ./cmd/funnel-relay; \
		GOOS=$$system GOARCH=$$architecture CGO_ENABLED=0 $(GO) build -o /dev/null ./cmd/funnel-agent; \
	done; done

# What a release has beside the binaries.
DOCUMENTS = LICENSE README.md SECURITY.md ARCHITECTURE.md docs proto/SPEC.md packaging/systemd packaging/fail2ban

release: ## build static binaries for every system into dist/, with a bill of materials of each, all licenses, documents and units, and checksums
	rm -rf dist && mkdir dist
	@set -e; for system in $(SYSTEMS); do for architecture in $(ARCHITECTURES); do for program in funnel-relay funnel-agent; do \
		file=$$program-$(VERSION)-$$system-$$architecture; \
		[ $$system != windows ] || file=$$file.exe; \
		GOOS=$$system GOARCH=$$architecture CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o dist/$$file ./cmd/$$program; \
		$(TOOL) cyclonedx-gomod bin -json -std -version $(VERSION) -output dist/$$file.cdx.json dist/$$file; \
		echo dist/$$file; \
	done; done; done
	$(GO) run ./packaging/notices > dist/funnel-$(VERSION)-licenses.txt
	tar --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 --mode=u=rwX,go=rX \
		--transform 's,^,funnel-$(VERSION)/,' -cf - $(DOCUMENTS) | gzip -n > dist/funnel-$(VERSION).tar.gz
	cd dist && sha256sum -- * > SHA256SUMS

clean: ## remove what was built
	rm -rf bin dist
