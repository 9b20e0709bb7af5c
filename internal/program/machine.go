package program

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/vm"

	"github.com/meterlog/meterlog/internal/meter"
)

// Machine runs programs. It belongs to one goroutine.
type Machine struct {
	Env map[string]any // what programs see, by name

	vm     vm.VM
	budget budget // of the program that runs
}

// NewMachine returns a machine with an empty environment.
func NewMachine() *Machine {
	m := &Machine{Env: map[string]any{}}
	m.Env[budgetVariable] = &m.budget
	return m
}

// Run returns what a program comes to in the machine's environment.
func (m *Machine) Run(p *Program) (any, error) {
	m.budget.left = maxWork
	v, err := m.vm.Run(p.code, m.Env)
	if err != nil {
		return nil, evaluationError(err)
	}
	return v, nil
}

// evaluationError says in one line why an expression failed.
func evaluationError(err error) error {
	message := err.Error()
	if at, ok := err.(*file.Error); ok {
		message = at.Message
		if at.Prev != nil {
			message = at.Prev.Error()
		}
	}
	if kind, ok := strings.CutPrefix(message, "invalid operation: bool("); ok {
		message = fmt.Sprintf("a %s is not true or false", typeWord(strings.TrimSuffix(kind, ")")))
	}
	if c := mixed.FindStringSubmatch(message); c != nil && (c[1] == "string") != (c[2] == "string") {
		message += "; convert the string with int()"
	}
	if c := conversion.FindStringSubmatch(message); c != nil {
		message = fmt.Sprintf("a %s where a %s is needed", typeWord(c[1]), typeWord(c[2]))
	}
	message, _, _ = strings.Cut(strings.TrimPrefix(message, "runtime error: "), "\n")
	return fmt.Errorf("%s", meter.Clip(message, maxMessage))
}

var mixed = regexp.MustCompile(`^invalid operation: (string|int|float64) [-+*/%<>=]+ (string|int|float64)$`)
var conversion = regexp.MustCompile(`^interface conversion: interface (?:\{\} )?is ([^,]+), not (.+)$`)

// typeWord returns a Go type in the words of this package's messages.
func typeWord(t string) string {
	switch {
	case t == "[]uint8":
		return "string"
	case t == "int" || t == "float64":
		return "number"
	case t == "bool":
		return "boolean"
	case strings.HasPrefix(t, "map["):
		return "map"
	case strings.HasPrefix(t, "[]"):
		return "list"
	case t == "nil":
		return "nil"
	}
	return t
}

// maxMessage bounds the bytes of an error's text.
const maxMessage = 200
