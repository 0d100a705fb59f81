# Two targets are for everybody: `make demo` shows tcpcopy at work, `make test`
# runs all tests. Both need root, Go and a package manager, and install what
# they lack.

VERSION := $(shell sed -n 's/^var version = "\(.*\)"$$/\1/p' cmd/internal/appliance/version.go)
COMMIT := $(shell git describe --always --dirty --abbrev=12 --exclude '*' 2>/dev/null)
LDFLAGS := -s -w -X github.com/tcpcopy-go/tcpcopy/cmd/internal/appliance.commit=$(COMMIT)
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

# The end-to-end tests load both cores: they run alone, behind the others.
E2E := ./cmd/tcpcopy-lab/e2e

export PATH := $(PATH):/usr/local/go/bin:/usr/sbin:/sbin

.PHONY: all build test test-short unit race e2e soak matrix packaged packages version appliance lint demo bench bench-compare fuzz clean

all: build

build:
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)' -o bin/ ./cmd/tcpcopy ./cmd/intercept ./cmd/tcpcopy-lab
	@ln -sf intercept bin/itercept # as the founding document spells it

demo: build
	@.ci/install nginx haproxy || echo "demo: going on with the lab's own servers"
	bin/tcpcopy-lab demo

test: lint unit race packaged e2e

UNITS = $$(go list ./... | grep -v -e /tcpcopy-lab/e2e -e /packaging)

# The inner loop: no end-to-end tests, no packages, no race detector. Most tests
# of the lab and of the rings wait for the kernel, so more of them run at a time
# than there are cores.
test-short:
	.ci/install tcpdump ethtool nft nginx haproxy
	CGO_ENABLED=0 go test -short -p 4 $(UNITS)

unit:
	.ci/install tcpdump ethtool nft nginx haproxy
	CGO_ENABLED=0 go test $(UNITS)

# The packages where goroutines meet.
race:
	.ci/install gcc
	CGO_ENABLED=1 go test -race -short ./pipeline ./pipeline/capture ./pipeline/link ./pipeline/queue ./pipeline/replies/... ./pipeline/reply ./pipeline/source/... ./pipeline/thread ./pipeline/worker ./ring ./cmd/internal/...

# What the matrix copies: servers and clients that other people wrote.
MATRIX := ab apache2 caddy curl dnsperf h2load haproxy initdb lighttpd mosquitto mosquitto_pub mosquitto_sub nft nginx pgbench \
  postgres python3 python3-websockets redis-benchmark redis-cli redis-server siege tcpdump unbound varnishd wrk

PROGRAMS := nginx haproxy ethtool nft tcpdump redis-server redis-benchmark postgres pgbench h2load chromium node npm $(MATRIX)

e2e: build
	.ci/install $(PROGRAMS)
	.ci/modules $(E2E)/testdata/browser
	CGO_ENABLED=0 go test -count=1 -timeout 20m -v $(E2E)

# Loads of a minute each where e2e has seconds: bad networks, strange targets,
# many connections, many copies; recordings of 20,000 sessions and of 5 GB.
# About half an hour.
soak: build
	.ci/install $(PROGRAMS)
	TCL_SOAK=1 CGO_ENABLED=0 go test -count=1 -timeout 90m -v $(E2E) -run 'BadNetwork|UnlikeProduction|ClosedLoop|CopyOfAConnection|Recording'

# Every client with every server: about six minutes, into bin/matrix.txt and
# bin/matrix.json. ROWS=varnish,caddy and COLUMNS=siege,wrk choose some.
matrix: build
	.ci/install $(MATRIX)
	bin/tcpcopy-lab matrix --rows "$(ROWS)" --columns "$(COLUMNS)" --json bin/matrix.json > bin/matrix.txt; status=$$?; cat bin/matrix.txt; exit $$status

# Packages, manual, dashboard and rules, with the tools of Debian, and the
# services under real systemd, in their short form.
packaged:
	@command -v apt-get >/dev/null || { echo "packaged: the packages are tested on Debian only"; exit 0; }; \
	  .ci/install nginx ethtool lintian rpm rpmlint mandoc col zsh fish promtool systemd-analyze systemd-nspawn node npm && \
	  .ci/modules packaging/grafana/testdata/schema && \
	  CGO_ENABLED=0 go test -count=1 ./packaging/...

# The services under real systemd, in two hosts of the lab, also killed, hanging,
# short of memory and upgraded: about two minutes.
appliance:
	.ci/install ethtool systemd-nspawn systemd-analyze
	TCL_APPLIANCE=1 CGO_ENABLED=0 go test -count=1 -v ./packaging/appliance

version:
	@echo $(VERSION)

packages:
	packaging/build bin/packages $(VERSION) amd64 arm64

# What stands in staticcheck.conf and rooms_test.go holds; go.mod lists what is
# used; no vulnerability that is known can be reached.
lint:
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$unformatted" || { echo "gofmt would change:"; echo "$$unformatted"; exit 1; }
	go mod tidy -diff
	CGO_ENABLED=0 go vet ./...
	CGO_ENABLED=0 go test -count=1 . # the rooms
	CGO_ENABLED=0 go run $(STATICCHECK) ./...
	CGO_ENABLED=0 .ci/vulnerabilities

# What a packet and what a copied request cost, into bin/bench: about a quarter
# of an hour. PEER_TCPCOPY= and PEER_INTERCEPT= name other binaries, of the same
# command line, to compare with, PEER_REPLAYER= one for recordings. BENCH='--runs 1 --rows "short 3000/s"' is
# quicker, BENCH= measures every row.
BENCH ?= --rows "keep-alive 10000/s,short 3000/s,POST 1 MB 50/s,keep-alive 10000/s (receivers apart),short 3000/s (receivers apart),POST 1 MB 50/s (receivers apart),closed loop 100,closed loop 4000,replay short 2000/s at 1x,replay short 2000/s at 10x,lag,idle,memory" --duration 3s

bench: build
	.ci/install ethtool nginx tcpdump
	@mkdir -p bin/bench
	CGO_ENABLED=0 go test -run '^$$' -bench . -benchtime 0.3s -benchmem ./pipeline/... ./ring/... > bin/bench/stages.txt; status=$$?; cat bin/bench/stages.txt; exit $$status
	bin/tcpcopy-lab bench --out bin/bench/copies $(BENCH)

# Whether this tree's Go benchmarks differ from those of BASE=COMMIT, in turns on
# this machine (two minutes), or from the kept ones of docs/benchmarks.txt, of the
# machine named there. `.ci/bench-compare --keep` keeps new ones.
bench-compare:
	.ci/bench-compare $(BASE)

# FUZZTIME of each fuzz target; their seeds run with every test. Minimizing an
# input that is merely new is cut off after one run: by default it may take a
# minute, and FuzzFile tried five inputs in it instead of 9,000 a second.
FUZZTIME ?= 10s
fuzz:
	.ci/install tcpdump
	@for p in $$(go list ./...); do \
	  for f in $$(go test -list '^Fuzz' $$p | grep '^Fuzz'); do \
	    echo "$$p $$f"; CGO_ENABLED=0 go test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1x $$p || exit 1; \
	  done; \
	done

clean:
	rm -rf bin
