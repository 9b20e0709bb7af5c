package tailer

import (
	"fmt"
	"os"
	"testing"
)

// BenchmarkManyFiles reads what was appended to each of many files, with far
// fewer descriptors.
func BenchmarkManyFiles(b *testing.B) {
	t := &testing.T{}
	s := &scene{t: t, dir: b.TempDir()}
	const files = 5000
	grow := func() {
		for i := range files {
			f, err := os.OpenFile(s.path(fmt.Sprintf("app%d.log", i)), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
			if err != nil {
				b.Fatal(err)
			}
			fmt.Fprintf(f, "%d a line\n", i)
			f.Close()
		}
	}
	s.cfg = Config{Sources: []Source{{Name: "a", Paths: []string{s.path("*.log")}}}, MaxOpen: 500, NoWatch: true}
	s.tailer = New(s.cfg)
	defer s.kill()
	for b.Loop() {
		b.StopTimer()
		grow()
		b.StartTimer()
		s.now = s.now.Add(pollWatched)
		n := 0
		for {
			if _, ok := nextOf(s.tailer, s.now); !ok {
				break
			}
			n++
		}
		if n < files {
			b.Fatalf("read %d of %d files", n, files)
		}
	}
}
