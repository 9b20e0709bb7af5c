package tailer

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// alike writes so many lines that do not differ.
func (s *scene) alike(name string, n int) {
	s.t.Helper()
	s.append(name, strings.Repeat("email sent\n", n))
}

// count reads and commits until all is settled, and wants so many lines.
func (s *scene) count(want int) {
	s.t.Helper()
	got := 0
	for range 12 {
		got += len(s.read())
		s.commit()
		s.pass(3 * time.Second)
	}
	if got != want {
		s.t.Errorf("read %d lines, want %d", got, want)
	}
	s.wantAnomalies(nil)
}

// Logs whose lines are all alike are known by what the file system tells: which
// inode is where, and how long the files are. Five lines are read, u more are not,
// and others follow in new files. No step gives an inode of the first file to
// another, and no two files are equally long: then nothing could tell them apart.
func TestLinesThatAreAllAlike(t *testing.T) {
	for _, test := range []struct {
		name string
		down bool // while it happens
		turn func(s *scene, u, m int)
		want func(u, m int) int
	}{
		{"rename and create", true, func(s *scene, u, m int) {
			s.alike("app.log", u)
			s.rename("app.log", "app.log.1")
			s.alike("app.log", m)
		}, func(u, m int) int { return u + m }},
		{"rename and create", false, func(s *scene, u, m int) {
			s.alike("app.log", u)
			s.rename("app.log", "app.log.1")
			s.alike("app.log", m)
		}, func(u, m int) int { return u + m }},
		{"twice", true, func(s *scene, u, m int) {
			s.alike("app.log", u)
			s.rename("app.log", "app.log.2")
			s.alike("app.log.1", m)
			s.alike("app.log", m-1)
		}, func(u, m int) int { return u + m + m - 1 }},
		{"three times, with dates", true, func(s *scene, u, m int) {
			s.alike("app.log", u)
			s.rename("app.log", "app.log-20260101")
			s.pass(time.Minute)
			s.alike("app.log-20260102", m)
			s.pass(time.Minute)
			s.alike("app.log-20260103", m+10)
			s.pass(time.Minute)
			s.alike("app.log", m-1)
		}, func(u, m int) int { return u + 3*m + 9 }},
		{"compressed", true, func(s *scene, u, m int) {
			s.alike("app.log", u)
			s.rename("app.log", "app.log.1")
			s.pass(time.Minute)
			s.alike("app.log", m)
			s.compress("app.log.1")
		}, func(u, m int) int { return u + m }},
		{"compressed with zstd", true, func(s *scene, u, m int) {
			s.alike("app.log", u)
			s.rename("app.log", "app.log.1")
			s.pass(time.Minute)
			s.alike("app.log", m)
			s.compressAs("app.log.1", ".zst")
		}, func(u, m int) int { return u + m }},
		{"twice and compressed", true, func(s *scene, u, m int) {
			s.alike("app.log", u)
			s.rename("app.log", "app.log.2")
			s.pass(time.Minute)
			s.alike("app.log.1", m)
			s.pass(time.Minute)
			s.alike("app.log", m-1)
			s.compress("app.log.1")
			s.compress("app.log.2")
		}, func(u, m int) int { return u + m + m - 1 }},
		{"twice and compressed with zstd", true, func(s *scene, u, m int) {
			s.alike("app.log", u)
			s.rename("app.log", "app.log.2")
			s.pass(time.Minute)
			s.alike("app.log.1", m)
			s.pass(time.Minute)
			s.alike("app.log", m-1)
			s.compressAs("app.log.1", ".zst")
			s.compressAs("app.log.2", ".zst")
		}, func(u, m int) int { return u + m + m - 1 }},
		{"compressed while it runs, and again while down", false, func(s *scene, u, m int) {
			s.alike("app.log", u)
			s.rename("app.log", "app.log.1")
			s.alike("app.log", m)
			s.count(u + m)
			s.compress("app.log.1")
			s.count(0)
			s.kill()
			s.rename("app.log.1.gz", "app.log.2.gz")
			s.rename("app.log", "app.log.1")
			s.pass(time.Minute)
			s.alike("app.log", m+1)
			s.compress("app.log.1")
		}, func(u, m int) int { return m + 1 }},
		{"copied and not truncated", true, func(s *scene, u, m int) {
			s.alike("app.log", u)
			s.copy("app.log", "app.log.1")
			s.alike("app.log", m)
		}, func(u, m int) int { return u + m }},
	} {
		for _, u := range []int{0, 1, 7} {
			for _, m := range []int{1, 4, 7, 8, 30, 400} { // but never as many as in the first file
				t.Run(fmt.Sprintf("%s down=%v %d unread %d more", test.name, test.down, u, m), func(t *testing.T) {
					s := follow(t, "app.log")
					s.alike("app.log", 5)
					s.count(5)
					if test.down {
						s.kill()
					}
					test.turn(s, u, m)
					s.count(test.want(u, m))
					s.kill()
					s.count(0)
				})
			}
		}
	}
}

// The inode of a finished file goes to an archive of other lines, and all are alike.
func TestInodeOfAlikeLinesGoesToAnArchive(t *testing.T) {
	s := follow(t, "app.log")
	s.alike("app.log", 5)
	s.count(5)
	s.rename("app.log", "app.log.1")
	s.alike("app.log", 30)
	s.count(30)
	s.pass(10 * time.Second)
	s.count(0)
	s.kill()
	text, err := os.ReadFile(s.path("app.log"))
	s.check(err)
	s.check(os.WriteFile(s.path("app.log.1"), compressed(t, ".gz", string(text)), 0o644))
	s.check(os.Chtimes(s.path("app.log.1"), s.now, s.now))
	s.rename("app.log.1", "app.log.1.gz")
	s.check(os.Remove(s.path("app.log")))
	s.pass(time.Minute)
	s.alike("app.log", 31)
	s.count(31)
}
