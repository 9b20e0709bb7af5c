.PHONY: build test check bench histories shapes books faults torture fleet fuzz pages packages packages-twice e2e clean

build: ## the static binary, ./meterlog
	packaging/compile -ldflags "-s -w" -o meterlog

test:
	go test ./...

check: ## what CI checks
	bash .ci/run

bench: ## measure, and write docs/benchmarks.md
	go run ./test/bench -write docs/benchmarks.md

HISTORIES ?= 20000
FIRST ?= 1000
histories: ## random histories of a machine and of a log, from the seed FIRST on
	go test -count=1 -timeout 0 ./internal/agent -run '^TestSimulation$$' -histories $(HISTORIES) -first $(FIRST)
	go test -count=1 -timeout 0 ./internal/tailer -run '^TestHistories$$' -histories $(HISTORIES) -first $(FIRST)

SHAPES ?= .
shapes: ## every way in which logs change, against the built binary
	go run ./test/shapes -run '$(SHAPES)'

RECORDS ?= 1000000
books: ## what a ledger of many records costs
	go run ./test/books -records $(RECORDS)

EVERY ?= 1
faults: ## a fault at every system call on the state folder
	go run ./test/faults -every $(EVERY)

DURATION ?= 1m
torture: ## kills, rotations and faults against the built binary
	go run ./test/torture -duration $(DURATION)

fleet: ## what the API sees of 100,000 agents, under virtual time
	go run ./test/fleet

pages: ## the pages in a real browser: needs Chromium
	cd tools && go run ./pages

FUZZTIME ?= 20000x
fuzz: ## every fuzz target for FUZZTIME
	.ci/fuzz $(FUZZTIME)

packages: ## .deb and .rpm for amd64 and arm64, in dist/
	packaging/build

packages-twice: ## the packages again, from another folder: the same bytes?
	packaging/reproduce

e2e: ## the .deb in a booted Debian: needs root, systemd-nspawn and debootstrap
	go run ./test/e2e

clean:
	rm -rf meterlog dist test/bench/data
