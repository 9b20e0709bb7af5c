package trial

import (
	"io"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/meterlog/meterlog/internal/screen"
)

// ProgressDelay is how long a test runs before it shows its progress.
var ProgressDelay = 300 * time.Millisecond

// progress is a bar on a terminal, in bytes of the files as they are on disk. A nil
// progress shows nothing.
type progress struct {
	bar   *progressbar.ProgressBar
	begun time.Time
	held  int64 // bytes read that the bar does not show yet
	drawn bool  // it may stand on the screen
	done  bool
}

// newProgress returns nil if stderr is not a terminal.
func newProgress(stderr io.Writer, inputs []*input) *progress {
	s := screen.Of(stderr)
	if s.Width == 0 {
		return nil
	}
	var total int64
	for _, in := range inputs {
		if in.size < 0 {
			total = -1
			break
		}
		total += in.size
	}
	if total == 0 {
		return nil
	}
	bar := progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(stderr),
		progressbar.OptionSetRenderBlankState(false),
		progressbar.OptionShowBytes(true),
		progressbar.OptionSetPredictTime(true),
		progressbar.OptionSetWidth(max(10, min(40, s.Width-60))),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionEnableColorCodes(false),
		progressbar.OptionUseANSICodes(false),
		progressbar.OptionClearOnFinish(),
	)
	bar.StartWithoutRender()
	return &progress{bar: bar, begun: time.Now()}
}

// reader counts what is read from r.
func (p *progress) reader(r io.Reader) io.Reader {
	if p == nil {
		return r
	}
	return &countedReader{r, p}
}

type countedReader struct {
	io.Reader
	progress *progress
}

func (r *countedReader) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	r.progress.add(int64(n))
	return n, err
}

func (p *progress) add(n int64) {
	p.held += n
	if p.done || time.Since(p.begun) < ProgressDelay {
		return
	}
	p.drawn = true
	p.bar.Add64(p.held)
	p.held = 0
}

// clear takes the bar off the screen until more is read.
func (p *progress) clear() {
	if p != nil && p.drawn {
		p.drawn = false
		p.bar.Clear()
	}
}

// finish takes the bar off the screen for good.
func (p *progress) finish() {
	p.clear()
	if p != nil {
		p.done = true
	}
}
