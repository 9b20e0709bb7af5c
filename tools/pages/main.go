// Command pages looks at the pages of the agent and of the sandbox in a real
// browser: light and dark, on a desk and on a phone, by keyboard, and over a
// refresh. It needs Chromium. Without one it says so and exits with 77.
//
//	cd tools && go run ./pages
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

const exitUnable = 77

const limit = 2 * time.Minute // of all of it

func main() {
	pictures := flag.String("pictures", "", "a `folder` to write screenshots to")
	flag.Parse()
	browser := find("chromium", "chromium-browser", "google-chrome")
	if browser == "" {
		fmt.Fprintln(os.Stderr, "pages: not run: no Chromium")
		os.Exit(exitUnable)
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if err := run(ctx, browser, *pictures); err != nil {
		fmt.Fprintln(os.Stderr, "pages:", err)
		os.Exit(1)
	}
}

func find(names ...string) string {
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// rules count two SKUs. One source finds no file, which is a problem to show.
const rules = `product_id: f2e4tmlj4qqciunhr7e6
sources:
  - {name: mailer, path: DIR/mailer.log, timestamp: {pattern: '^(\S+)', layout: rfc3339}}
  - {name: archive, path: DIR/archive/*.log}
rules:
  - {name: emails, source: mailer, when: 'line contains "sent"', sku_id: dn272e8979uvek5cnuhk}
  - {name: exports, source: mailer, when: 'line contains "exported"', sku_id: dn2exportedgib0000000, quantity: 'extract(line, ` + "`mb=(\\d+)`" + `)', per: 1024}
listen: AGENT
`

// run starts a sandbox and an agent, and looks at their pages.
func run(ctx context.Context, browser, pictures string) error {
	dir, err := os.MkdirTemp("", "meterlog-pages-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, "meterlog")
	build := exec.CommandContext(ctx, "go", "build", "-ldflags", "-X main.version=0.1.0", "-o", binary, "./cmd/meterlog")
	build.Dir, build.Stderr = "..", os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("build: %w", err)
	}
	agent, sandbox := freeAddress(), freeAddress()
	text := strings.NewReplacer("DIR", dir, "AGENT", agent).Replace(rules)
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "rules.yaml"), []byte(text), 0o600), writeLog(filepath.Join(dir, "mailer.log"))); err != nil {
		return err
	}
	for _, arguments := range [][]string{
		{"sandbox", "--listen", sandbox},
		{"run", "--config", filepath.Join(dir, "rules.yaml"), "--endpoint", "http://" + sandbox, "--log-level", "error"},
	} {
		c := exec.Command(binary, arguments...)
		c.Stderr = os.Stderr
		if err := c.Start(); err != nil {
			return err
		}
		defer c.Wait()
		defer c.Process.Signal(syscall.SIGTERM)
	}
	for address, text := range map[string]string{"http://" + sandbox + "/totals": "dn272e8979uvek5cnuhk", "http://" + agent + "/status": `"lag_bytes":0`} {
		if err := answers(ctx, address, text); err != nil {
			return err
		}
	}
	look := &look{browser: browser, pictures: pictures}
	if err := look.start(ctx); err != nil {
		return err
	}
	defer look.stop()
	return errors.Join(look.at("agent", "http://"+agent+"/", "Usage is billed, with a problem to look at", "no_files"),
		look.at("agent-day", "http://"+agent+"/?span=day", "in the last day"), look.at("agent-month", "http://"+agent+"/?span=month", "in the last month"),
		look.at("sandbox", "http://"+sandbox+"/", "billed to nobody", "dn272e8979uvek5cnuhk"),
		look.follow("http://"+agent+"/"), look.refresh("http://"+agent+"/"))
}

// writeLog writes an hour of mails and exports.
func writeLog(path string) error {
	var text strings.Builder
	now := time.Now().UTC()
	for ago := 55 * time.Minute; ago > 0; ago -= 7 * time.Second {
		at := now.Add(-ago)
		mails := 1 + at.Unix()%5
		for range mails {
			fmt.Fprintf(&text, "%s email sent\n", at.Format(time.RFC3339))
		}
		if at.Unix()%3 == 0 {
			fmt.Fprintf(&text, "%s archive exported mb=%d\n", at.Format(time.RFC3339), 500+at.Unix()%900)
		}
	}
	return os.WriteFile(path, []byte(text.String()), 0o600)
}

// freeAddress returns an address of the loopback that nobody listens on.
func freeAddress() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// answers waits until the address answers with the text in it.
func answers(ctx context.Context, address, want string) error {
	for ctx.Err() == nil {
		response, err := http.Get(address)
		if err == nil {
			text, err := io.ReadAll(response.Body)
			response.Body.Close()
			if err == nil && strings.Contains(string(text), want) {
				return nil
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	return fmt.Errorf("%s does not say %s: %w", address, want, ctx.Err())
}

// look is a browser with one tab.
type look struct {
	browser, pictures string
	ctx               context.Context
	stop              func()

	mu         sync.Mutex
	complaints []string // of the browser's console
}

func (l *look) start(ctx context.Context) error {
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(l.browser), chromedp.NoSandbox)
	allocator, free := chromedp.NewExecAllocator(ctx, options...)
	tab, end := chromedp.NewContext(allocator)
	l.ctx, l.stop = tab, func() { end(); free() }
	chromedp.ListenTarget(tab, func(event any) {
		l.mu.Lock()
		defer l.mu.Unlock()
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			l.complaints = append(l.complaints, e.ExceptionDetails.Error())
		case *cdplog.EventEntryAdded: // a style or script that the policy refuses
			if !strings.HasSuffix(e.Entry.URL, "/favicon.ico") {
				l.complaints = append(l.complaints, e.Entry.Text)
			}
		}
	})
	return chromedp.Run(tab, cdplog.Enable(), runtime.Enable())
}

// complained returns what the browser did not like since the last call.
func (l *look) complained() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.complaints) == 0 {
		return nil
	}
	err := errors.New(strings.Join(l.complaints, "; "))
	l.complaints = nil
	return err
}

// at opens a page in every dress, and checks that it has the texts, plots with
// axes, and no need to scroll sideways.
func (l *look) at(name, address string, texts ...string) error {
	var faults []error
	for _, screen := range []struct {
		name          string
		width, height int64
		scheme        string
	}{{"light", 1000, 1400, "light"}, {"dark", 1000, 1400, "dark"}, {"phone", 390, 844, "light"}} {
		var body, ground string
		var wide bool
		var bars, marks, heads int
		var picture []byte
		err := chromedp.Run(l.ctx,
			emulation.SetDeviceMetricsOverride(screen.width, screen.height, 1, screen.width < 600),
			emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: screen.scheme}}),
			chromedp.Navigate(address), chromedp.Text("main", &body),
			chromedp.Evaluate(`document.documentElement.scrollWidth > innerWidth`, &wide),
			chromedp.Evaluate(`document.querySelectorAll("svg .bar").length`, &bars),
			chromedp.Evaluate(`document.querySelectorAll("svg text").length`, &marks),
			chromedp.Evaluate(`document.querySelectorAll("h1").length`, &heads),
			chromedp.Evaluate(`getComputedStyle(document.body).backgroundColor`, &ground),
			chromedp.CaptureScreenshot(&picture))
		fault := func(format string, args ...any) {
			faults = append(faults, fmt.Errorf(name+", "+screen.name+": "+format, args...))
		}
		if err != nil {
			fault("%w", err)
			continue
		}
		if err := l.complained(); err != nil {
			fault("the browser says: %w", err)
		}
		for _, text := range texts {
			if !strings.Contains(body, text) {
				fault("%q is not on the page:\n%s", text, body)
			}
		}
		if wide {
			fault("the page is wider than the screen")
		}
		if bars == 0 || marks < 3 || heads != 1 {
			fault("%d bars, %d texts at axes, %d headings", bars, marks, heads)
		}
		if dark := ground != "rgb(255, 255, 255)"; dark != (screen.scheme == "dark") {
			fault("the ground is %s", ground)
		}
		if l.pictures != "" {
			if err := os.WriteFile(filepath.Join(l.pictures, name+"-"+screen.name+".png"), picture, 0o644); err != nil {
				fault("%w", err)
			}
		}
	}
	return errors.Join(faults...)
}

// follow goes from the page to a record by keyboard alone.
func (l *look) follow(address string) error {
	var focus, title string
	err := chromedp.Run(l.ctx, chromedp.Navigate(address))
	for range 40 {
		if err == nil && !strings.HasPrefix(focus, "record-") {
			err = chromedp.Run(l.ctx, chromedp.KeyEvent(kb.Tab), chromedp.Evaluate(`document.activeElement.dataset.focus || ""`, &focus))
		}
	}
	if err == nil {
		err = chromedp.Run(l.ctx, chromedp.KeyEvent(kb.Enter), chromedp.WaitVisible(`//h1[contains(., "Record")]`, chromedp.BySearch), chromedp.Title(&title))
	}
	if uuid := strings.TrimPrefix(focus, "record-"); err == nil && !strings.HasSuffix(title, uuid) {
		err = fmt.Errorf("the title is %q", title)
	}
	if err != nil {
		return fmt.Errorf("by keyboard to a record, after %q: %w", focus, err)
	}
	return l.complained()
}

// refresh opens details and waits until the page was replaced: they must stay
// open, and the focus must stay where it was.
func (l *look) refresh(address string) error {
	const opened = `document.querySelector("details[data-key='source mailer']")`
	var open, focused, replaced bool
	err := chromedp.Run(l.ctx, chromedp.Navigate(address),
		chromedp.Evaluate(opened+`.open = true; document.querySelector("details[data-key='source mailer'] summary").focus(); document.getElementById("page").old = true`, nil),
		chromedp.Poll(`!document.getElementById("page").old`, &replaced, chromedp.WithPollingTimeout(45*time.Second)),
		chromedp.Evaluate(opened+`.open`, &open),
		chromedp.Evaluate(`document.activeElement.dataset.focus === "source-mailer"`, &focused))
	if err != nil {
		return fmt.Errorf("refresh: %w", err)
	}
	if !replaced || !open || !focused {
		return fmt.Errorf("refresh: replaced %v, still open %v, still focused %v", replaced, open, focused)
	}
	return l.complained()
}
