package sandbox

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// The frames of HTTP/2 that a reset is made of (RFC 9113, section 6).
const (
	frameHeader    = 9 // bytes
	frameRST       = 0x3
	frameGoAway    = 0x7
	rstFrame       = frameHeader + 4
	codeOfInternal = 0x2
)

// resetCodes are the error codes of HTTP/2 by the names that --fault takes.
var resetCodes = map[string]uint32{
	"no-error": 0x0, "protocol-error": 0x1, "internal-error": codeOfInternal, "refused-stream": 0x7, "cancel": 0x8, "enhance-your-calm": 0xb,
}

func joinResets() string { return strings.Join(slices.Sorted(maps.Keys(resetCodes)), ", ") }

// reset is how a stream ends instead of with an answer.
type reset struct {
	goAway bool
	code   uint32
}

// conn is a connection of the server. Package http resets a stream of HTTP/2
// only with INTERNAL_ERROR. So conn reads the frames that the server writes,
// and makes such a reset what a fault asks for.
type conn struct {
	net.Conn // plain, or plain above TLS

	writing sync.Mutex
	head    []byte // of a frame that is not whole yet
	left    int    // bytes of the frame's payload that are still to come
	begun   bool
	plain   bool // HTTP/1, without frames

	mu     sync.Mutex
	resets []reset // for the next streams that the server resets
}

type connKey struct{}

// withConn lets a handler find its connection.
func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// abort ends the request without an answer, as the fault says. A connection
// that does not speak HTTP/2 is closed.
func abort(r *http.Request, f *Fault) {
	c, ok := r.Context().Value(connKey{}).(*conn)
	if ok && r.ProtoMajor == 2 {
		c.mu.Lock()
		c.resets = append(c.resets, reset{goAway: f.Kind == FaultGoAwayBefore || f.Kind == FaultGoAwayAfter, code: resetCodes[f.Code]})
		c.mu.Unlock()
	}
	panic(http.ErrAbortHandler)
}

func (c *conn) Write(p []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	if !c.begun && len(p) > 0 {
		c.begun, c.plain = true, p[0] == 'H' // HTTP/1.1 200 OK; a frame begins with its length
	}
	if c.plain {
		return c.Conn.Write(p)
	}
	if _, err := c.Conn.Write(c.frames(p)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// frames returns what goes out for the bytes p of the server.
func (c *conn) frames(p []byte) (out []byte) {
	for len(p) > 0 {
		if c.left > 0 {
			n := min(c.left, len(p))
			out, p, c.left = append(out, p[:n]...), p[n:], c.left-n
			continue
		}
		want := frameHeader
		if len(c.head) >= frameHeader {
			want = rstFrame
		}
		n := min(want-len(c.head), len(p))
		c.head, p = append(c.head, p[:n]...), p[n:]
		switch {
		case len(c.head) < want:
		case want == rstFrame:
			out, c.head = append(out, c.replace(c.head)...), nil
		case c.head[3] != frameRST:
			c.left = int(c.head[0])<<16 | int(c.head[1])<<8 | int(c.head[2])
			out, c.head = append(out, c.head...), nil
		}
	}
	return out
}

// replace returns what goes out for a frame that resets a stream.
func (c *conn) replace(frame []byte) []byte {
	if binary.BigEndian.Uint32(frame[frameHeader:]) != codeOfInternal {
		return frame
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.resets) == 0 {
		return frame
	}
	r := c.resets[0]
	c.resets = c.resets[1:]
	if !r.goAway {
		binary.BigEndian.PutUint32(frame[frameHeader:], r.code)
		return frame
	}
	stream := binary.BigEndian.Uint32(frame[5:])
	away := []byte{0, 0, 8, frameGoAway, 0, 0, 0, 0, 0}
	away = binary.BigEndian.AppendUint32(away, max(stream, 2)-2) // the last stream that counts: the one before
	return binary.BigEndian.AppendUint32(away, r.code)
}

func checkReset(code string) error {
	if _, ok := resetCodes[code]; !ok {
		return fmt.Errorf("it needs an error code of HTTP/2: %s", joinResets())
	}
	return nil
}
