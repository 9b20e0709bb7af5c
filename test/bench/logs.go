package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"time"
)

// log is a generated file with the right counts.
type log struct {
	path string
	size int64
	want map[string]int64 // by SKU
}

// lineWriter writes one random line, and adds what it counts.
type lineWriter func(r *rand.Rand, w io.Writer, want map[string]int64)

func words(r *rand.Rand, n int) string {
	const letters = "abcdefghijklmnopqrstuvwxyz"
	var b strings.Builder
	for b.Len() < n {
		for range 3 + r.IntN(8) {
			b.WriteByte(letters[r.IntN(len(letters))])
		}
		b.WriteByte(' ')
	}
	return b.String()[:n]
}

func event(i int) string { return fmt.Sprintf("event-%03d done", i) }

// textLine writes about 135 bytes. 2 % are mails, and 0.02 % each of a hundred other
// events.
func textLine(r *rand.Rand, w io.Writer, want map[string]int64) {
	fmt.Fprintf(w, "2026-01-01T00:00:%02d.%03dZ host app[%d]: ", r.IntN(60), r.IntN(1000), r.IntN(30000))
	switch n := r.IntN(10000); {
	case n < 200:
		fmt.Fprintf(w, "email sent to=<user%d@example.com> ", r.IntN(1e6))
		want["sku-mail"]++
	case n < 400:
		i := n % 100
		fmt.Fprintf(w, "%s ", event(i))
		want["sku-"+strconv.Itoa(i)]++
	}
	io.WriteString(w, words(r, 90))
	io.WriteString(w, "\n")
}

// jsonLine writes about 300 bytes. 2 % finish an export.
func jsonLine(r *rand.Rand, w io.Writer, want map[string]int64) {
	name, bytes := "request.served", r.Int64N(1e6)
	want["sku-all"] += bytes
	if r.IntN(50) == 0 {
		name = "export.finished"
		want["sku-bytes"] += bytes
		want["exports"]++
	}
	fmt.Fprintf(w, `{"ts":"2026-01-01T00:00:%02dZ","level":"info","event":"%s","user":{"id":%d,"plan":"pro"},"bytes":%d,"note":"%s"}`+"\n",
		r.IntN(60), name, r.IntN(1e6), bytes, words(r, 180))
}

// logfmtLine writes about 140 bytes with a size.
func logfmtLine(r *rand.Rand, w io.Writer, want map[string]int64) {
	bytes := r.Int64N(1e6)
	want["sku-all"] += bytes
	fmt.Fprintf(w, "ts=2026-01-01T00:00:%02dZ level=info event=request.served user=%d bytes=%d path=\"/api/v1/items/%d\" status=200 msg=\"%s\"\n",
		r.IntN(60), r.IntN(1e6), bytes, r.IntN(1e6), words(r, 40))
}

// sizedLine writes about 120 bytes with a size.
func sizedLine(r *rand.Rand, w io.Writer, want map[string]int64) {
	size := r.Int64N(1e6)
	want["sku-all"] += size
	fmt.Fprintf(w, "2026-01-01T00:00:%02dZ app[%d]: %s path=/api/v1/items/%d size=%d took %d ms\n", r.IntN(60), r.IntN(30000), words(r, 40), r.IntN(1e6), size, r.IntN(1000))
}

// nginxTime is the minute of all lines of nginx: a little ago, because the
// marketplace takes no usage older than an hour.
var nginxTime = time.Now().UTC().Add(-2 * time.Minute).Truncate(time.Minute)

// nginxLine writes a line of nginx's combined format. 2 % ask for an export, and
// one in ten of those fails.
func nginxLine(r *rand.Rand, w io.Writer, want map[string]int64) {
	path, status := fmt.Sprintf("/static/%s.js", words(r, 12)[:11]), 200
	if r.IntN(50) == 0 {
		path = fmt.Sprintf("/api/v1/export/%d", r.IntN(1e6))
		if r.IntN(10) == 0 {
			status = 502
		} else {
			want["sku-exports"]++
		}
	}
	bytes := r.Int64N(1e6)
	if status == 200 {
		want["sku-traffic"] += bytes
	}
	fmt.Fprintf(w, `10.%d.%d.%d - - [%s:%02d +0000] "GET %s HTTP/1.1" %d %d "-" "Mozilla/5.0 (X11; Linux x86_64) %s"`+"\n",
		r.IntN(256), r.IntN(256), r.IntN(256), nginxTime.Format("02/Jan/2006:15:04"), r.IntN(60), strings.ReplaceAll(path, " ", "-"), status, bytes, words(r, 30))
}

// generate writes a log of a size in bytes. A seed gives the same log, except for
// the minute of nginx.
func generate(path string, size int64, seed uint64, line lineWriter) (log, error) {
	l := log{path: path, want: make(map[string]int64)}
	f, err := os.Create(l.path)
	if err != nil {
		return l, err
	}
	defer f.Close()
	r := rand.New(rand.NewPCG(seed, 2))
	counted := &countingWriter{w: f}
	w := bufio.NewWriterSize(counted, 1<<20)
	for counted.n < size {
		line(r, w, l.want)
	}
	err = errors.Join(w.Flush(), f.Sync())
	l.size = counted.n
	return l, err
}

type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
