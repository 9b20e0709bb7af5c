package sandbox

import (
	"crypto/tls"
	"io"
	"net"
	"sync/atomic"
)

// tlsHandshake is the first byte of a connection that speaks TLS.
const tlsHandshake = 0x16

// listener hands out connections whose streams can be reset. With tls set, a
// client may speak TLS or plain text, on the same port.
type listener struct {
	net.Listener
	tls *tls.Config
}

func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if l.tls != nil {
		c = &either{Conn: c, tls: l.tls}
	}
	return &conn{Conn: c}, nil
}

// either speaks TLS if its client does: the first Read finds out. The server
// writes nothing before.
type either struct {
	net.Conn
	tls    *tls.Config
	plain  *unread // owned by the reader; nil before the first Read
	secure atomic.Pointer[tls.Conn]
}

func (e *either) Read(p []byte) (int, error) {
	if e.plain == nil {
		var first [1]byte
		if _, err := io.ReadFull(e.Conn, first[:]); err != nil {
			return 0, err
		}
		e.plain = &unread{Conn: e.Conn, first: first[:]}
		if first[0] == tlsHandshake {
			e.secure.Store(tls.Server(e.plain, e.tls))
		}
	}
	if secure := e.secure.Load(); secure != nil {
		return secure.Read(p)
	}
	return e.plain.Read(p)
}

func (e *either) Write(p []byte) (int, error) {
	if secure := e.secure.Load(); secure != nil {
		return secure.Write(p)
	}
	return e.Conn.Write(p)
}

func (e *either) Close() error {
	if secure := e.secure.Load(); secure != nil {
		return secure.Close()
	}
	return e.Conn.Close()
}

// unread is a connection that gives back what was read of it.
type unread struct {
	net.Conn
	first []byte // owned by the reader
}

func (u *unread) Read(p []byte) (int, error) {
	if len(u.first) > 0 {
		n := copy(p, u.first)
		u.first = u.first[n:]
		return n, nil
	}
	return u.Conn.Read(p)
}
