package ledger

import "testing"

func TestIdentityIsKept(t *testing.T) {
	dirs := []string{t.TempDir(), t.TempDir()}
	var names []string
	for _, dir := range []string{dirs[0], dirs[0], dirs[1]} {
		l, err := Open(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		name, err := l.Identity(t.Context())
		if err != nil || name == "" {
			t.Errorf("%q, %v", name, err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		names = append(names, name)
	}
	if names[0] != names[1] || names[0] == names[2] {
		t.Errorf("names %v, want two alike and another", names)
	}
}
