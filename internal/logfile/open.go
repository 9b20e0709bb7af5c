package logfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrLinkRefused is returned for a symbolic link that nobody may be led by: root
// does not own it, and its owner does not own the file or folder that it leads to.
// Whoever may write into a log folder could show a file to the follower in this
// way that he cannot read himself.
var ErrLinkRefused = errors.New("a link whose owner does not own what it leads to")

// readOnly are the flags of every log that is opened. No FIFO, terminal or lease
// can hold the follower up.
const readOnly = unix.O_RDONLY | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_NOFOLLOW | unix.O_CLOEXEC

// onPath are the flags of a folder on the way to a file.
const onPath = unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC

// mostLinks is how many links the way to a file may have, as for the kernel.
const mostLinks = 40

// Open opens a regular file for reading. Up to root the configuration names the path,
// and Open follows links there. It follows a link below root if root owns the link, or
// if the link's owner owns its target. Otherwise the error is ErrLinkRefused, with the
// link's path. If root does not hold the name, as "", the file's folder takes its place.
func Open(name, root string) (*os.File, error) {
	fd, err := walkTo(name, root, readOnly)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), name)
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: name, Err: ErrNotRegular}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Stat returns what Open would open, without opening it. What the name leads to
// may be something else than a regular file.
func Stat(name, root string) (fs.FileInfo, error) {
	fd, err := walkTo(name, root, onPath)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	return f.Stat()
}

// walkTo goes to a name from the root on, folder by folder and link by link. So nobody
// can exchange one of them between the check and the use.
func walkTo(name, root string, flags int) (fd int, err error) {
	below, ok := strings.CutPrefix(name, strings.TrimSuffix(root, "/")+"/")
	if root == "" || !ok {
		root, below = filepath.Split(name)
	}
	switch {
	case name == "":
		return -1, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	case root == "":
		root = "."
	}
	start, err := openPath(unix.AT_FDCWD, root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC)
	if err != nil {
		return -1, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	w := walk{name: name}
	fd, err = w.open(start, root, below, flags)
	unix.Close(start)
	var located *fs.PathError
	if err != nil && !errors.As(err, &located) {
		err = &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return fd, err
}

// walk is the way to one file.
type walk struct {
	name  string
	links int // that were followed
}

// open opens what a path leads to from an open folder, whose name is at.
func (w *walk) open(from int, at, path string, flags int) (fd int, err error) {
	if filepath.IsAbs(path) {
		at = "/"
		if from, err = openPath(unix.AT_FDCWD, "/", onPath|unix.O_DIRECTORY); err != nil {
			return -1, err
		}
		defer unix.Close(from)
	}
	parts := strings.FieldsFunc(path, func(c rune) bool { return c == '/' })
	fd = -1
	for i, part := range parts {
		how := onPath | unix.O_DIRECTORY
		if i == len(parts)-1 {
			how = flags
		}
		next, err := w.step(from, at, part, how)
		if fd >= 0 {
			unix.Close(fd)
		}
		if err != nil {
			return -1, err
		}
		fd, from, at = next, next, filepath.Join(at, part)
	}
	if fd < 0 { // "/"
		return openPath(from, ".", onPath|unix.O_DIRECTORY)
	}
	return fd, nil
}

// step opens one name of an open folder.
func (w *walk) step(from int, at, part string, flags int) (int, error) {
	var st unix.Stat_t
	if err := unix.Fstatat(from, part, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return -1, err
	}
	switch kind := st.Mode & unix.S_IFMT; {
	case kind == unix.S_IFLNK:
		return w.follow(from, at, part, st.Uid, flags)
	case flags == readOnly && kind != unix.S_IFREG:
		return -1, &fs.PathError{Op: "open", Path: w.name, Err: ErrNotRegular} // some devices do things when they are opened
	}
	fd, err := openPath(from, part, flags)
	if err == nil && flags == onPath {
		if err = unix.Fstat(fd, &st); err == nil && st.Mode&unix.S_IFMT == unix.S_IFLNK {
			err = unix.ELOOP
		}
		if err != nil {
			unix.Close(fd)
		}
	}
	if errors.Is(err, unix.ELOOP) { // a link took its place since
		err = unix.ENOENT
	}
	if err != nil {
		return -1, err
	}
	return fd, nil
}

// follow opens what a link leads to, if its owner may lead there.
func (w *walk) follow(from int, at, part string, owner uint32, flags int) (int, error) {
	if w.links++; w.links > mostLinks {
		return -1, unix.ELOOP
	}
	target := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(from, part, target)
	if err != nil {
		return -1, err
	}
	fd, err := w.open(from, at, string(target[:n]), flags)
	if err != nil || owner == 0 {
		return fd, err
	}
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil && st.Uid != owner {
		err = &fs.PathError{Op: "follow", Path: filepath.Join(at, part), Err: ErrLinkRefused}
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func openPath(from int, path string, flags int) (fd int, err error) {
	for {
		if fd, err = unix.Openat(from, path, flags, 0); !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}
