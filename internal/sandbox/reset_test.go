package sandbox

import (
	"strings"
	"testing"

	"github.com/google/uuid"
)

// What a client's transport makes of a reset is its own; what the model stored,
// and how often it was asked, is what the fault says.
func TestResets(t *testing.T) {
	for _, row := range []struct {
		fault  string
		two    bool
		err    string // "": the transport sends again by itself, and is answered
		stored int
		asked  int
	}{
		{"reset-before=refused-stream,times=1", true, "", 1, 2},
		{"reset-after=refused-stream,times=1", true, "", 1, 2},
		{"reset-after=protocol-error,times=1", true, "", 1, 2},
		{"goaway-before,times=1", true, "", 1, 2},
		{"goaway-after,times=1", true, "", 1, 2},
		{"reset-before=cancel", true, "CANCEL", 0, 1},
		{"reset-after=enhance-your-calm", true, "ENHANCE_YOUR_CALM", 1, 1},
		{"drop-after", true, "INTERNAL_ERROR", 1, 1},
		{"reset-after=refused-stream", false, "EOF", 1, 1},
		{"goaway-before", false, "EOF", 0, 1},
	} {
		fault, err := ParseFault(row.fault)
		if err != nil {
			t.Fatal(err)
		}
		for _, scheme := range []string{"https", "http"} {
			s := serve(t, Config{AnyClient: true, Faults: []Fault{fault}})
			_, body, err := s.write(s.client(t, row.two), scheme+"://localhost"+writePath, uuid.NewString())
			if (err == nil) != (row.err == "") || err != nil && !strings.Contains(err.Error(), row.err) {
				t.Errorf("%s, %s: %s, %v; want %q", row.fault, scheme, body, err, row.err)
			}
			if got := s.Stats().Requests; len(s.Records()) != row.stored || got != row.asked {
				t.Errorf("%s, %s: %d records of %d requests are stored, want %d of %d", row.fault, scheme, len(s.Records()), got, row.stored, row.asked)
			}
			if problems := append(s.Violations(), s.Conflicts()...); len(problems) > 0 {
				t.Errorf("%s: the client did nothing wrong, and the model says %v", row.fault, problems)
			}
		}
	}
}

// Frames are understood however the server cuts them.
func TestFramesInPieces(t *testing.T) {
	data := []byte{0, 0, 3, 0, 1, 0, 0, 0, 1, 'a', 'b', 'c'}
	rst := func(stream, code byte) []byte { return []byte{0, 0, 4, 3, 0, 0, 0, 0, stream, 0, 0, 0, code} }
	in := append(append(append(append([]byte{}, data...), rst(5, 2)...), rst(7, 2)...), rst(9, 8)...)
	want := append(append(append(append([]byte{}, data...), rst(5, 7)...), 0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0), rst(9, 8)...)
	for size := 1; size <= len(in); size++ {
		c := &conn{resets: []reset{{code: 7}, {goAway: true}}}
		var out []byte
		for i := 0; i < len(in); i += size {
			out = append(out, c.frames(in[i:min(i+size, len(in))])...)
		}
		if string(out) != string(want) {
			t.Errorf("in pieces of %d: % x, want % x", size, out, want)
		}
	}
	c := &conn{}
	if out := c.frames(rst(5, 2)); string(out) != string(rst(5, 2)) {
		t.Errorf("a reset that no fault asks for becomes % x", out)
	}
}
