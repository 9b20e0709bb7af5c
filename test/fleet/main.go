// Command fleet asks what the API sees of 100,000 agents: at rest, through an
// outage, and when it comes back.
//
// It simulates them under virtual time. When an agent sends is decided by the
// product's own code, package pace; a record, a request and the API are numbers.
// The command prints the rates and how late records were accepted, and ends
// with 1 if a limit is broken:
//
//   - At rest no second has more than twice the mean.
//   - In the outage and after it no second has more than four times the mean at
//     rest.
//   - No record expires.
//
// A fleet whose agents all have the same number of SKUs has a limit that is a little
// higher. If each agent sends one request in the first 30 s of every minute, these
// seconds have exactly twice the mean on average. The agents do not know one another,
// so the busiest second has more by chance. The command prints how much chance adds.
//
// Run it with
//
//	go run ./test/fleet
//
// It goes through a list of outages. A flag asks for one outage only.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"
)

// outages are what the command goes through: long and short ones, which begin when a
// window does or within one.
var outages = []setting{
	{outage: 50 * time.Minute},
	{outage: 50*time.Minute + 15*time.Second, begins: 25 * time.Second},
	{outage: 2 * time.Minute},
	{outage: 95 * time.Second, begins: 10 * time.Second},
	{outage: 45 * time.Second},
	{outage: 10 * time.Second, begins: 5 * time.Second},
	{outage: 50 * time.Minute, interval: 30 * time.Minute},
	{outage: 2 * time.Minute, interval: 30 * time.Minute},
	{outage: 50 * time.Minute, skus: 1},
	{outage: 50 * time.Minute, skus: 25},
}

func main() {
	s := setting{outage: 50 * time.Minute}
	flag.IntVar(&s.agents, "agents", 100_000, "how many agents there are")
	flag.DurationVar(&s.interval, "interval", time.Minute, "the length of a window")
	flag.DurationVar(&s.outage, "outage", s.outage, "how long the API is away")
	flag.DurationVar(&s.begins, "begins", 0, "when the outage begins, from the beginning of a window")
	flag.IntVar(&s.skus, "skus", 0, "how many SKUs every agent bills; 0 mixes agents of 1, 5 and 30")
	flag.Uint64Var(&s.seed, "seed", 1, "of all that is random")
	flag.Parse()
	if s.agents < 1 || s.interval < time.Second || s.outage < 0 || s.begins < 0 {
		fmt.Fprintln(os.Stderr, "fleet: give at least one agent, an interval of 1s and an outage of 0s")
		os.Exit(2)
	}
	one := false
	flag.Visit(func(f *flag.Flag) { one = one || f.Name != "agents" && f.Name != "seed" })
	todo := []setting{s}
	if !one {
		todo = outages
	}
	code := 0
	for _, next := range todo {
		next.agents, next.seed = s.agents, s.seed
		if next.interval == 0 {
			next.interval = s.interval
		}
		r := simulate(next)
		r.print(os.Stdout)
		for _, text := range r.broken() {
			fmt.Fprintln(os.Stderr, "fleet:", text)
			code = 1
		}
	}
	os.Exit(code)
}
