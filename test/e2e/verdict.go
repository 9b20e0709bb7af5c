package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// billed ends the applications, waits until all is settled, and compares what
// they have written with what the API took and with what the ledger says.
func (s *story) billed(ctx context.Context) error {
	if _, err := s.output(ctx, "systemctl", "stop", "mailer", "exporter", "courier"); err != nil {
		return err
	}
	var mailer, exporter, courier sums
	for file, sum := range map[string]*sums{"/var/lib/mailer.json": &mailer, "/var/lib/exporter.json": &exporter, "/var/lib/courier.json": &courier} {
		data, err := s.get(file)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(data, sum); err != nil {
			return err
		}
	}
	written := map[string]int64{"sku-emails": mailer.Events, "sku-exported": exporter.Bytes / 1000, "sku-courier": courier.Events}
	fmt.Printf("        written: %d and %d lines, and %d printed, to be billed as %v\n", mailer.Lines, exporter.Lines, courier.Lines, written)
	return within(ctx, time.Minute, "the sums to agree", func() error {
		accepted, err := s.accepted()
		if err != nil {
			return err
		}
		st, err := s.status(ctx)
		if err != nil {
			return err
		}
		counted := make(map[string]int64)
		for _, sku := range st.SKUs {
			counted[sku.SKU] = sku.Total
		}
		if fmt.Sprint(accepted) != fmt.Sprint(written) || fmt.Sprint(counted) != fmt.Sprint(written) {
			return fmt.Errorf("the API took %v, the ledger says %v", accepted, counted)
		}
		if unsettled := st.Records["open"] + st.Records["sealed"]; unsettled != 0 || len(st.Problems) != 0 {
			return fmt.Errorf("%d records are unsettled; problems: %v", unsettled, st.Problems)
		}
		return nil
	})
}

// accepted returns what the sandbox has accepted in all its lives, by SKU. It
// forgets with each what the API does not, so that a uuid may come twice, but
// never with another content.
func (s *story) accepted() (map[string]int64, error) {
	printed, err := s.get("/var/log/sandbox.accepted")
	if err != nil {
		return nil, err
	}
	records := make(map[string]string)
	totals := make(map[string]int64)
	for _, line := range strings.Split(string(printed), "\n") {
		var window, uuid, sku string
		var quantity int64
		if n, _ := fmt.Sscanf(line, "%s %s %s quantity %d", &window, &uuid, &sku, &quantity); n != 4 {
			continue // what it says of itself
		}
		switch before, known := records[uuid]; {
		case !known:
			records[uuid] = line
			totals[sku] += quantity
		case before != line:
			return nil, fmt.Errorf("a record has changed: %s: %s", before, line)
		}
	}
	return totals, nil
}

// journal looks for errors that nobody has provoked: in what meterlog says, in
// what systemd says of it, and in logrotate's.
func (s *story) journal(ctx context.Context) error {
	out, err := s.output(ctx, "journalctl", "--no-pager", "--output=json", "--unit=meterlog", "--unit=logrotate", "--unit=mailer", "--unit=exporter")
	if err != nil {
		return err
	}
	var unexpected []string
	decoder := json.NewDecoder(strings.NewReader(out))
	for decoder.More() {
		var entry struct {
			Message  string `json:"MESSAGE"`
			Priority string `json:"PRIORITY"`
		}
		if err := decoder.Decode(&entry); err != nil {
			return err
		}
		bad := entry.Priority <= "4" || strings.Contains(entry.Message, "level=ERROR") || strings.Contains(entry.Message, "error:")
		if bad && !s.expected(entry.Message) {
			unexpected = append(unexpected, entry.Message)
		}
	}
	if unexpected != nil {
		return errors.New(strings.Join(unexpected, "\n"))
	}
	return nil
}

func (s *story) expected(message string) bool {
	for _, text := range s.provoked {
		if strings.Contains(message, text) {
			return true
		}
	}
	return false
}
