// Command fleet asks what the API sees of 100,000 agents: at rest, through an
// outage, and when it comes back.
//
// It simulates them under virtual time. When an agent sends is decided by the
// product's own code, package pace; a record, a request and the API are numbers.
// The command prints the rates and how late records were accepted, and ends
// with 1 if a limit is broken:
//
//   - At rest no second has more than twice the mean.
//   - After the outage no second has more than four times the mean at rest.
//   - No record expires.
//
// Run it with
//
//	go run ./test/fleet
package main

import (
	"flag"
	"fmt"
	"os"
	"time"
)

func main() {
	var s setting
	flag.IntVar(&s.agents, "agents", 100_000, "how many agents there are")
	flag.DurationVar(&s.interval, "interval", time.Minute, "the length of a window")
	flag.DurationVar(&s.outage, "outage", 50*time.Minute, "how long the API is away")
	flag.Uint64Var(&s.seed, "seed", 1, "of all that is random")
	flag.Parse()
	if s.agents < 1 || s.interval < time.Second || s.outage < 0 {
		fmt.Fprintln(os.Stderr, "fleet: give at least one agent, an interval of 1s and an outage of 0s")
		os.Exit(2)
	}
	r := simulate(s)
	r.print(os.Stdout)
	if broken := r.broken(); len(broken) > 0 {
		for _, text := range broken {
			fmt.Fprintln(os.Stderr, "fleet:", text)
		}
		os.Exit(1)
	}
}
