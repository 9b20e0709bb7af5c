package journal

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/meterlog/meterlog/internal/journalctl"
)

// BenchmarkEntries reads what journalctl prints of a unit: an entry an operation. Every
// third entry of the journal is another unit's.
func BenchmarkEntries(b *testing.B) {
	var text bytes.Buffer
	for n := range b.N {
		number, at := n*3/2+1, 1_795_618_000_000_000+50*n
		fmt.Fprintf(&text, `{"__CURSOR":"s=8b5b7b1c1b1c4d1e9b1c1b1c4d1e9b1c;i=%x;b=1c1b1c4d1e9b1c8b5b7b1c1b1c4d1e9b;m=%x;t=%x;x=7e1f1f3c9d2a5b61",`, number, 50*n, at)
		fmt.Fprintf(&text, `"__REALTIME_TIMESTAMP":"%d","__MONOTONIC_TIMESTAMP":"%d","_BOOT_ID":"1c1b1c4d1e9b1c8b5b7b1c1b1c4d1e9b",`, at, 50*n)
		fmt.Fprintf(&text, `"_SOURCE_REALTIME_TIMESTAMP":"%d","_SYSTEMD_UNIT":"app.service","MESSAGE":"%d email sent to=<user@example.com> size=%d"}`+"\n", at, n, n%700)
	}
	run := func(context.Context, []string, func(string)) (*journalctl.Process, error) {
		return &journalctl.Process{Output: io.NopCloser(bytes.NewReader(text.Bytes())), Wait: func() error { return nil }, Sync: func() {}}, nil
	}
	s := NewStream(Config{
		Source: "app", Path: "journal:app", Query: NewQuery("", []string{"app.service"}, nil, nil), Fields: []string{}, NewID: func() int64 { return 1 },
		Machine: Machine{Run: run, Boot: "b", Files: func() string { return "" }},
	})
	defer s.Close()
	s.ToEnd()
	s.tried, s.cursor = time.Now(), "s=8b5b7b1c1b1c4d1e9b1c1b1c4d1e9b1c;i=0;b=0;m=0;t=0;x=0"
	b.SetBytes(int64(text.Len() / b.N))
	b.ReportAllocs()
	b.ResetTimer()
	for {
		if _, ok := s.Next(time.Now()); !ok {
			break
		}
	}
}
