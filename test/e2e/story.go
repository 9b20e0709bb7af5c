package main

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

//go:embed files
var files embed.FS

// story is what happens to the package on a machine.
type story struct {
	*machine
	version, newer string
	rules          []byte
	provoked       []string // texts of the journal that had to come
}

const (
	rulesFile = "/etc/meterlog/rules.yaml"
	stateDir  = "/var/lib/meterlog"
)

// tell does one thing after the other, while the applications write.
func (s *story) tell(ctx context.Context) error {
	steps := []struct {
		name string
		do   func(context.Context) error
	}{
		{"the package is installed, and waits for rules", s.install},
		{"it runs as soon as there are rules", s.begin},
		{"its user can read all, and do nothing else", s.confined},
		{"it can be asked", s.asked},
		{"the journal is rotated, restarted and vacuumed", s.mistreated},
		{"it is killed", s.killed},
		{"it is restarted", s.restarted},
		{"it is reloaded", s.reloaded},
		{"what is wrong is not reloaded", s.refused},
		{"it hangs", s.hung},
		{"the machine is rebooted", s.rebooted},
		{"the package is upgraded", s.upgraded},
		{"the package is removed and comes back", s.removed},
		{"every unit was billed once", s.billed},
		{"the journal is free of errors", s.journal},
		{"what the journal deletes unread is a gap", s.deletedUnread},
		{"the package is purged", s.purged},
	}
	begun := time.Now()
	for _, step := range steps {
		began := time.Now()
		if err := step.do(ctx); err != nil {
			log, _ := s.output(ctx, "journalctl", "--no-pager", "--lines=30", "--unit=meterlog")
			return fmt.Errorf("%s: %w\nthe journal's end:\n%s", step.name, err, log)
		}
		fmt.Printf("%5.1fs  %s\n", time.Since(began).Seconds(), step.name)
	}
	fmt.Printf("%5.1fs  in all\n", time.Since(begun).Seconds())
	return nil
}

func (s *story) install(ctx context.Context) error {
	if _, err := s.output(ctx, "dpkg", "--install", "/root/"+debName(s.version)); err != nil {
		return err
	}
	for property, want := range map[string]string{"UnitFileState": "enabled", "ActiveState": "inactive", "Result": "exec-condition"} {
		if err := s.property(ctx, property, want); err != nil {
			return err
		}
	}
	if out, err := s.output(ctx, "meterlog", "check"); err == nil {
		return fmt.Errorf("check finds nothing wrong with a configuration of comments: %s", out)
	}
	// As the builder of an image does it.
	_, err := s.output(ctx, "meterlog", "reset", "--image")
	return err
}

func (s *story) begin(ctx context.Context) error {
	// The sandbox has faults, and systemd before 254 does not know how to start
	// again ever more seldom. Where the machine has no unit of its own, its systemd
	// may kill the main process of a service only.
	s.provoked = append(s.provoked, "delivery failed: nothing is lost", "Failed to kill control group", "to auxiliary processes", "Unknown key 'RestartSteps'", "Unknown key 'RestartMaxDelaySec'")
	if err := s.furnish(); err != nil {
		return err
	}
	if _, err := s.output(ctx, "systemctl", "daemon-reload"); err != nil {
		return err
	}
	if _, err := s.output(ctx, "systemctl", "enable", "--now", "sandbox", "mailer", "exporter", "courier"); err != nil {
		return err
	}
	if _, err := s.output(ctx, "meterlog", "check"); err != nil {
		return err
	}
	if _, err := s.output(ctx, "systemctl", "restart", "meterlog"); err != nil {
		return err
	}
	if err := s.rotate(ctx); err != nil {
		return err
	}
	return s.runs(ctx)
}

// rotate starts logrotate every few seconds from now on. meterlog does not follow
// files that were rotated before its first start.
func (s *story) rotate(ctx context.Context) error {
	often, err := files.ReadFile("files/logrotate-timer.conf")
	if err != nil {
		return err
	}
	if err := s.put("/etc/systemd/system/logrotate.timer.d/e2e.conf", often, 0o644); err != nil {
		return err
	}
	if _, err := s.output(ctx, "systemctl", "daemon-reload"); err != nil {
		return err
	}
	_, err = s.output(ctx, "systemctl", "restart", "logrotate.timer")
	return err
}

// furnish puts the applications, their rotations and the rules in place. The
// logs are in folders that only root may enter.
func (s *story) furnish() (err error) {
	if s.rules, err = files.ReadFile("files/rules.yaml"); err != nil {
		return err
	}
	for file, place := range map[string]string{
		"rules.yaml":            rulesFile,
		"meterlog-drop-in.conf": "/etc/systemd/system/meterlog.service.d/e2e.conf",
		"sandbox.service":       "/etc/systemd/system/sandbox.service",
		"mailer.service":        "/etc/systemd/system/mailer.service",
		"courier.service":       "/etc/systemd/system/courier.service",
		"exporter.service":      "/etc/systemd/system/exporter.service",
		"logrotate-mailer":      "/etc/logrotate.d/mailer",
		"logrotate-exporter":    "/etc/logrotate.d/exporter",
	} {
		data, err := files.ReadFile("files/" + file)
		if err != nil {
			return err
		}
		if err := s.put(place, data, 0o644); err != nil {
			return err
		}
	}
	for _, dir := range []string{"home/mailer/logs", "srv/exporter"} {
		if err := os.MkdirAll(filepath.Join(s.root, dir), 0o700); err != nil {
			return err
		}
	}
	return nil
}

// runs reports whether the service runs, and says something of itself.
func (s *story) runs(ctx context.Context) error {
	if err := s.property(ctx, "ActiveState", "active"); err != nil {
		return err
	}
	return within(ctx, 10*time.Second, "a status line", func() error {
		said, err := s.show(ctx, "StatusText")
		if err == nil && said == "" {
			err = errors.New("there is none")
		}
		return err
	})
}

func (s *story) confined(ctx context.Context) error {
	if _, err := s.output(ctx, "systemd-analyze", "verify", "--man=no", "meterlog.service"); err != nil {
		return err
	}
	if _, err := s.output(ctx, "systemd-analyze", "security", "--no-pager", "--threshold=15", "meterlog.service"); err != nil {
		return err
	}
	status, err := s.process(ctx)
	if err != nil {
		return err
	}
	const dacReadSearch = "0000000000000004"
	for field, want := range map[string]string{"CapPrm": dacReadSearch, "CapEff": dacReadSearch, "CapBnd": dacReadSearch, "NoNewPrivs": "1", "Seccomp": "2"} {
		if status[field] != want {
			return fmt.Errorf("%s is %q, not %q", field, status[field], want)
		}
	}
	if strings.HasPrefix(status["Uid"], "0") {
		return errors.New("it runs as root")
	}
	return s.seesAll(ctx, status["Pid"])
}

// seesAll checks that the service can see every folder where a program may log.
func (s *story) seesAll(ctx context.Context, pid string) error {
	for _, dir := range []string{"/var/log", "/home", "/root", "/opt", "/srv", "/mnt", "/tmp", "/var/tmp", "/run/user", "/dev/shm"} {
		log := dir + "/seen.log"
		if _, err := s.output(ctx, "touch", log); err != nil {
			return err
		}
		if _, err := s.output(ctx, "test", "-e", "/proc/"+pid+"/root"+log); err != nil {
			return fmt.Errorf("what is logged in %s is not seen: %w", dir, err)
		}
	}
	return nil
}

// process returns the fields of the main process' status in /proc.
func (s *story) process(ctx context.Context) (map[string]string, error) {
	pid, err := s.show(ctx, "MainPID")
	if err != nil {
		return nil, err
	}
	out, err := s.output(ctx, "cat", "/proc/"+pid+"/status")
	fields := make(map[string]string)
	for _, line := range strings.Split(out, "\n") {
		if name, value, ok := strings.Cut(line, ":"); ok {
			fields[name] = strings.TrimSpace(value)
		}
	}
	return fields, err
}

// asked asks over HTTP and, as root, by commands.
func (s *story) asked(ctx context.Context) error {
	for _, url := range []string{"http://127.0.0.1:9273/healthz", "http://127.0.0.1:9273/status"} {
		if _, err := s.output(ctx, "e2e", "get", url); err != nil {
			return err
		}
	}
	metrics, err := s.output(ctx, "e2e", "get", "http://127.0.0.1:9273/metrics")
	if err != nil {
		return err
	}
	if !strings.Contains(metrics, "\nmeterlog_") {
		return fmt.Errorf("no metrics of meterlog's: %s", metrics)
	}
	return within(ctx, 20*time.Second, "usage in the status", func() error {
		st, err := s.status(ctx)
		if err != nil {
			return err
		}
		if !st.Running || st.Records["accepted"] == 0 || len(st.SKUs) != 3 {
			return fmt.Errorf("it is %+v", st)
		}
		return nil
	})
}

// status is what `meterlog status` tells of what matters here.
type status struct {
	Running bool           `json:"running"`
	Records map[string]int `json:"records"`
	SKUs    []struct {
		SKU   string `json:"sku_id"`
		Total int64  `json:"total"`
	} `json:"skus"`
	Problems []struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"problems"`
}

func (s *story) status(ctx context.Context) (st status, err error) {
	out, err := s.output(ctx, "meterlog", "status", "--format", "json")
	if err != nil {
		return st, err
	}
	return st, json.Unmarshal([]byte(out), &st)
}

func (s *story) killed(ctx context.Context) error {
	s.provoked = append(s.provoked, "code=killed, status=9/KILL", "Failed with result 'signal'")
	return s.replaced(ctx, func() error {
		_, err := s.output(ctx, "systemctl", "kill", "--kill-whom=main", "--signal=KILL", "meterlog")
		return err
	})
}

func (s *story) restarted(ctx context.Context) error {
	return s.replaced(ctx, func() error {
		_, err := s.output(ctx, "systemctl", "restart", "meterlog")
		return err
	})
}

// replaced does something after which another process must run.
func (s *story) replaced(ctx context.Context, do func() error) error {
	before, err := s.show(ctx, "MainPID")
	if err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	err = within(ctx, time.Minute, "another process", func() error {
		now, err := s.show(ctx, "MainPID")
		if err != nil {
			return err
		}
		if now == before || now == "0" {
			return fmt.Errorf("the pid is %s, and was %s", now, before)
		}
		return s.property(ctx, "ActiveState", "active")
	})
	if err != nil {
		return err
	}
	return s.runs(ctx)
}

// kept does something after which the same process must run.
func (s *story) kept(ctx context.Context, do func() error) error {
	before, err := s.show(ctx, "MainPID")
	if err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	if err := within(ctx, 10*time.Second, "the end of the reload", func() error { return s.property(ctx, "ActiveState", "active") }); err != nil {
		return err
	}
	return s.property(ctx, "MainPID", before)
}

func (s *story) reloaded(ctx context.Context) error {
	rules := strings.ReplaceAll(string(s.rules), "interval: 2s", "interval: 1s")
	if err := s.put(rulesFile, []byte(rules), 0o644); err != nil {
		return err
	}
	return s.kept(ctx, func() error {
		_, err := s.output(ctx, "systemctl", "reload", "meterlog")
		if err != nil {
			return err
		}
		return within(ctx, 10*time.Second, "the new configuration", func() error { return s.logged(ctx, "the configuration was read again") })
	})
}

// refused leaves a mistake in the rules: to reload by systemctl fails, and the
// signal alone changes nothing but the list of problems.
func (s *story) refused(ctx context.Context) error {
	s.provoked = append(s.provoked, "the new configuration is refused", "Control process exited, code=exited, status=2", "Reload failed",
		"cntains", "      |  ") // the mistake, the line that holds it, and the caret below
	wrong := strings.ReplaceAll(string(s.rules), "contains", "cntains")
	if err := s.put(rulesFile, []byte(wrong), 0o644); err != nil {
		return err
	}
	err := s.kept(ctx, func() error {
		if out, err := s.output(ctx, "systemctl", "reload", "meterlog"); err == nil {
			return fmt.Errorf("a mistake was reloaded: %s", out)
		}
		if _, err := s.output(ctx, "systemctl", "kill", "--kill-whom=main", "--signal=HUP", "meterlog"); err != nil {
			return err
		}
		return within(ctx, 10*time.Second, "the refusal", func() error { return s.logged(ctx, "the new configuration is refused") })
	})
	if err != nil {
		return err
	}
	if err := s.put(rulesFile, s.rules, 0o644); err != nil {
		return err
	}
	return s.kept(ctx, func() error {
		_, err := s.output(ctx, "systemctl", "reload", "meterlog")
		return err
	})
}

// logged reports whether the service has said a text since it was started.
func (s *story) logged(ctx context.Context, text string) error {
	out, err := s.output(ctx, "journalctl", "--no-pager", "--output=cat", "--unit=meterlog")
	if err == nil && !strings.Contains(out, text) {
		err = fmt.Errorf("the journal does not say %q", text)
	}
	return err
}

func (s *story) hung(ctx context.Context) error {
	s.provoked = append(s.provoked, "Watchdog timeout", "Killing process", "code=killed, status=6/ABRT", "code=dumped, status=6/ABRT", "Failed with result 'watchdog'", "State 'stop-watchdog' timed out")
	return s.replaced(ctx, func() error {
		_, err := s.output(ctx, "systemctl", "kill", "--kill-whom=main", "--signal=STOP", "meterlog")
		return err
	})
}

// rebooted lets a rotation end before, which the reboot would break off.
func (s *story) rebooted(ctx context.Context) error {
	if _, err := s.output(ctx, "systemctl", "stop", "logrotate.timer"); err != nil {
		return err
	}
	err := within(ctx, 20*time.Second, "the end of logrotate", func() error {
		state, err := s.output(ctx, "systemctl", "show", "--property", "ActiveState", "--value", "logrotate")
		if err == nil && state != "inactive" {
			err = errors.New("it is " + state)
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := s.reboot(ctx); err != nil {
		return err
	}
	return s.runs(ctx)
}

func (s *story) upgraded(ctx context.Context) error {
	err := s.replaced(ctx, func() error {
		_, err := s.output(ctx, "dpkg", "--install", "/root/"+debName(s.newer))
		return err
	})
	if err != nil {
		return err
	}
	if rules, err := s.get(rulesFile); err != nil || string(rules) != string(s.rules) {
		return fmt.Errorf("the rules are not the earlier ones: %q, %v", rules, err)
	}
	version, err := s.output(ctx, "meterlog", "version")
	if err == nil && !strings.Contains(version, s.newer) {
		err = fmt.Errorf("it is %q, not %s", version, s.newer)
	}
	return err
}

func (s *story) removed(ctx context.Context) error {
	if _, err := s.output(ctx, "dpkg", "--remove", "meterlog"); err != nil {
		return err
	}
	for _, file := range []string{rulesFile, stateDir + "/ledger.db"} {
		if _, err := s.get(file); err != nil {
			return err
		}
	}
	if _, err := s.output(ctx, "dpkg", "--install", "/root/"+debName(s.newer)); err != nil {
		return err
	}
	return s.runs(ctx)
}

func (s *story) purged(ctx context.Context) error {
	if _, err := s.output(ctx, "dpkg", "--purge", "meterlog"); err != nil {
		return err
	}
	if _, err := s.output(ctx, "getent", "passwd", "meterlog"); err == nil {
		return errors.New("the user is left")
	}
	left, err := s.output(ctx, "find", "/etc", "/usr", "/var/lib", "-name", "*meterlog*", "-not", "-path", "/etc/systemd/system/meterlog.service.d*")
	if err == nil && left != "" {
		err = fmt.Errorf("there is left: %s", left)
	}
	return err
}

// show returns a property of the service.
func (s *story) show(ctx context.Context, property string) (string, error) {
	return s.output(ctx, "systemctl", "show", "--property", property, "--value", "meterlog")
}

func (s *story) property(ctx context.Context, name, want string) error {
	got, err := s.show(ctx, name)
	if err == nil && got != want {
		err = fmt.Errorf("%s is %s, not %s", name, strconv.Quote(got), want)
	}
	return err
}
