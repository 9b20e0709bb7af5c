package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// perTick is how many lines the courier prints at a time: 1,600 a second.
const perTick = 8

// printLines plays an application that knows of no log: it prints to standard output,
// from where systemd takes its lines to the journal. It runs until SIGTERM, and then
// notes its sums.
func printLines(args []string) error {
	flags := flag.NewFlagSet("print", flag.ExitOnError)
	w := writer{kind: "mailer"}
	flags.StringVar(&w.file, "sums", "", "where the sums are kept")
	flags.Parse(args)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := w.recall(); err != nil {
		return err
	}
	out := bufio.NewWriter(os.Stdout)
	ticker := time.NewTicker(linePause)
	defer ticker.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-ticker.C:
			for range perTick {
				out.WriteString(w.sums.line(w.kind))
			}
			if err := out.Flush(); err != nil {
				return err
			}
		}
	}
	return w.note()
}

// mistreated does to the journal, while it is read, what people and systemd do.
func (s *story) mistreated(ctx context.Context) error {
	if err := s.outputs(ctx,
		"journalctl --rotate",
		"systemctl restart systemd-journald",
		"sleep 3", // until what was rotated is read
		"journalctl --vacuum-size=1",
	); err != nil {
		return err
	}
	for range 3 { // journalctl is killed
		var before string
		err := within(ctx, 10*time.Second, "a journalctl", func() error {
			if before = s.readers(ctx); before == "" {
				return errors.New("none runs for meterlog")
			}
			return nil
		})
		if err != nil {
			return err
		}
		if err := s.outputs(ctx, "kill -KILL "+before); err != nil {
			return err
		}
		err = within(ctx, 10*time.Second, "another journalctl", func() error {
			if now := s.readers(ctx); now == "" || now == before {
				return fmt.Errorf("it is %q, and was %q", now, before)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return s.outputs(ctx, "systemctl restart systemd-journald", "journalctl --rotate")
}

// outputs runs command lines one after the other.
func (s *story) outputs(ctx context.Context, lines ...string) error {
	for _, line := range lines {
		if _, err := s.output(ctx, "sh", "-c", line); err != nil {
			return err
		}
	}
	return nil
}

// readers returns the pids of the journalctl that meterlog runs.
func (s *story) readers(ctx context.Context) string {
	pids, err := s.output(ctx, "sh", "-c", `for p in /proc/[0-9]*; do [ "$(cat $p/comm 2>&1)" = journalctl ] && echo ${p#/proc/}; done; true`)
	if err != nil {
		return ""
	}
	return strings.Join(strings.Fields(pids), " ")
}

// deletedUnread lets the journal delete what meterlog has not read. That is a gap,
// with its number.
func (s *story) deletedUnread(ctx context.Context) error {
	if err := s.outputs(ctx,
		"systemctl stop meterlog", "systemctl start courier", "sleep 1", "systemctl stop courier",
		"journalctl --sync --rotate --vacuum-size=1", "systemctl start courier", "sleep 1", "systemctl start meterlog", "systemctl stop courier",
	); err != nil {
		return err
	}
	return within(ctx, 20*time.Second, "the gap", func() error {
		st, err := s.status(ctx)
		if err != nil {
			return err
		}
		for _, p := range st.Problems {
			if p.Code == "gap" && strings.Contains(p.Message, "journal:courier: 1 times") && strings.Contains(p.Message, "entries of the journal") {
				return nil
			}
		}
		return fmt.Errorf("it is not among the problems: %+v", st.Problems)
	})
}
