package sender

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/meterlog/meterlog/internal/meter"
	"github.com/meterlog/meterlog/internal/sandbox"
)

// deceiver serves the model of the API over HTTP/2. It answers, but once it
// claims not to have processed a request that the model has already.
type deceiver struct {
	t   *testing.T
	box *sandbox.Sandbox
	lie func(f *http2.Framer, stream uint32) // how it claims that; nil: it does not any more
}

func (d *deceiver) serve(ln net.Listener) {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		go d.converse(conn)
	}
}

// converse serves one connection, one request after the other.
func (d *deceiver) converse(conn net.Conn) {
	defer conn.Close()
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(conn, preface); err != nil {
		return
	}
	out := &later{conn: conn, frames: make(chan []byte, 100)}
	defer close(out.frames)
	go out.run()
	f := http2.NewFramer(out, conn)
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	f.WriteSettings()
	requests := make(map[uint32]*http.Request)
	bodies := make(map[uint32]*bytes.Buffer)
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			return
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				f.WriteSettingsAck()
			}
		case *http2.PingFrame:
			f.WritePing(true, frame.Data)
		case *http2.MetaHeadersFrame:
			r := httptest.NewRequest("POST", frame.PseudoValue("path"), nil)
			r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/2.0", 2, 0
			for _, field := range frame.RegularFields() {
				r.Header.Add(field.Name, field.Value)
			}
			requests[frame.StreamID], bodies[frame.StreamID] = r, new(bytes.Buffer)
		case *http2.DataFrame:
			body := bodies[frame.StreamID]
			body.Write(frame.Data())
			if frame.StreamEnded() {
				r := requests[frame.StreamID]
				r.Body = io.NopCloser(body)
				d.answer(f, frame.StreamID, r)
			}
		}
	}
}

func (d *deceiver) answer(f *http2.Framer, stream uint32, r *http.Request) {
	w := httptest.NewRecorder()
	if d.lie != nil {
		// A second copy has the same id, which the model calls a violation.
		r.Header.Set("X-Client-Request-Id", uuid.NewString())
		d.box.Handler().ServeHTTP(w, r)
		lie := d.lie
		d.lie = nil
		lie(f, stream)
		return
	}
	d.box.Handler().ServeHTTP(w, r)
	result := w.Result()
	body, _ := io.ReadAll(result.Body)
	f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: fields(result.Header, ":status", "200"), EndHeaders: true})
	f.WriteData(stream, len(result.Trailer) == 0, body)
	if len(result.Trailer) > 0 {
		f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: fields(result.Trailer), EndHeaders: true, EndStream: true})
	}
}

func fields(header http.Header, first ...string) []byte {
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for i := 0; i < len(first); i += 2 {
		encoder.WriteField(hpack.HeaderField{Name: first[i], Value: first[i+1]})
	}
	for name, values := range header {
		for _, value := range values {
			encoder.WriteField(hpack.HeaderField{Name: strings.ToLower(name), Value: value})
		}
	}
	return block.Bytes()
}

// later writes to a connection without keeping its reader waiting: a pipe in
// memory holds nothing.
type later struct {
	conn   net.Conn
	frames chan []byte
}

func (l *later) Write(p []byte) (int, error) { l.frames <- bytes.Clone(p); return len(p), nil }

func (l *later) run() {
	for p := range l.frames {
		if _, err := l.conn.Write(p); err != nil {
			for range l.frames {
			}
		}
	}
}

// A server stores a request, and then ends it over HTTP/2 without an answer. Some codes
// claim that it was not processed. Whether or not the transport believes that and sends
// the request again, the records may be stored, and are accepted in the end, once.
func TestTransportThatSendsTwice(t *testing.T) {
	lies := map[string]func(f *http2.Framer, stream uint32){
		"GOAWAY": func(f *http2.Framer, _ uint32) { f.WriteGoAway(0, http2.ErrCodeNo, nil) },
	}
	for code := http2.ErrCodeNo; code <= http2.ErrCodeHTTP11Required; code++ {
		lies[code.String()] = func(f *http2.Framer, stream uint32) { f.WriteRSTStream(stream, code) }
		lies[code.String()+" behind a header"] = func(f *http2.Framer, stream uint32) {
			block := fields(http.Header{"Content-Type": {"application/grpc"}}, ":status", "200")
			f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block, EndHeaders: true})
			f.WriteRSTStream(stream, code)
		}
	}
	for name, lie := range lies {
		both(t, func(t *testing.T, transport string) {
			box := sandbox.New(sandbox.Config{AnyToken: true})
			ln := newMemory()
			go (&deceiver{t: t, box: box, lie: lie}).serve(ln)
			s := must(New(Config{Endpoint: "http://127.0.0.1", Transport: transport, Tokens: fixedToken("t1.test"), Dial: ln.dial, Timeout: 5 * time.Second, Log: quiet}))
			if transport == REST {
				protocols := new(http.Protocols)
				protocols.SetUnencryptedHTTP2(true)
				s.transport.(*rest).own.Load().Protocols = protocols
			}
			list := records(3)
			for range 5 {
				results, _ := s.Send(t.Context(), list)
				for _, r := range results {
					if r.State != meter.Accepted && !(r.State == meter.Sealed && r.MaybeStored) {
						t.Errorf("%s: %+v", name, r)
					}
				}
				list = again(list, results)
				time.Sleep(time.Second)
			}
			if len(list) > 0 || len(box.Records()) != 3 {
				t.Errorf("%s: %d records are left, %d are stored", name, len(list), len(box.Records()))
			}
			for _, text := range append(box.Conflicts(), box.Violations()...) {
				t.Errorf("%s: %s", name, text)
			}
			s.Close()
			ln.Close()
		})
	}
}
