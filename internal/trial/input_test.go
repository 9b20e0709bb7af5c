package trial

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/meterlog/meterlog/internal/meter"
)

// TestLineReader cuts streams of lines around the sizes that matter, read in
// pieces of any size, and compares them with what was put in.
func TestLineReader(t *testing.T) {
	sizes := []int{0, 1, 80, readSize - 1, readSize, readSize + 1, meter.MaxLine - 2, meter.MaxLine - 1, meter.MaxLine, meter.MaxLine + readSize, 3 * meter.MaxLine}
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 0))
		var text, want bytes.Buffer
		skipped := 0
		for range 1 + random.IntN(6) {
			line := strings.Repeat(string(rune('a'+random.IntN(26))), sizes[random.IntN(len(sizes))]) + "\n"
			text.WriteString(line)
			if len(line) > meter.MaxLine {
				skipped += len(line)
			} else {
				want.WriteString(line)
			}
		}
		whole, torn := want.Len(), random.IntN(2000)
		text.WriteString(strings.Repeat("z", torn))
		want.WriteString(strings.Repeat("z", torn))
		for _, wholeOnly := range []bool{false, true} {
			var from io.Reader = &pieces{random, bytes.NewReader(text.Bytes())}
			if seed%3 == 0 {
				from = iotest.DataErrReader(from)
			}
			expected := want.Bytes()
			if wholeOnly {
				expected = expected[:whole]
			}
			if err := compareLines(&lineReader{from: from, longest: meter.MaxLine, wholeOnly: wholeOnly}, expected, skipped); err != nil {
				t.Errorf("seed %d, wholeOnly %v: %v", seed, wholeOnly, err)
			}
		}
	}
}

func compareLines(r *lineReader, want []byte, wantSkipped int) error {
	var got bytes.Buffer
	total := int64(0)
	for {
		data, skipped, err := r.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if (len(data) > 0) == (skipped > 0) {
			return errors.New("neither lines nor a skipped line, or both")
		}
		if got.Len() < len(want) && len(data) > 0 && data[len(data)-1] != '\n' && got.Len()+len(data) != len(want) {
			return errors.New("a block ends within a line")
		}
		got.Write(data)
		total += skipped
	}
	if !bytes.Equal(got.Bytes(), want) || total != int64(wantSkipped) || r.consumed != int64(len(want)+wantSkipped) {
		return fmt.Errorf("%d bytes of lines, %d skipped, %d consumed; want %d, %d", got.Len(), total, r.consumed, len(want), wantSkipped)
	}
	return nil
}

// pieces reads as much as chance gives.
type pieces struct {
	random *rand.Rand
	from   io.Reader
}

func (p *pieces) Read(b []byte) (int, error) {
	return p.from.Read(b[:1+p.random.IntN(min(len(b), 400_000))])
}
