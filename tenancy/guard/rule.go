package guard

import (
	"errors"
	"fmt"
	"strings"
)

// Severity says what a finding means for the tenants.
type Severity string

// The severities.
const (
	Breach Severity = "breach" // rows of another tenant can be read or changed
	Weak   Severity = "weak"   // isolation holds, but tells of others, or falls with the next mistake
	Slow   Severity = "slow"   // isolation is paid for dearly
	Advice Severity = "advice" // isolation holds; a second line of defence is missing
)

// severities has the rules of Audit; audit.sql has what they look for, the package comment what they mean.
func severities() map[string]Severity {
	return map[string]Severity{
		"T01": Breach, "T02": Breach, "T03": Weak, "T04": Slow, "T05": Breach, "T06": Weak, "T07": Slow, "T08": Weak, "T09": Weak,
		"T10": Breach, "T11": Breach, "T12": Breach, "T13": Breach, "T14": Breach, "T15": Breach, "T16": Weak, "T17": Slow,
		"T18": Weak, "T19": Breach, "T20": Advice, "T21": Advice, "T22": Breach, "T23": Breach, "T24": Breach,
	}
}

// Finding is a rule that an object of the database breaks.
type Finding struct {
	Rule     string // T01 to T24
	Severity Severity
	Object   string // quoted where SQL wants that: "public.notes", "public.notes.policy", "public.f(text)", a role, a schema
	Problem  string // what is wrong with the object
	Fix      string // the SQL that mends it, with … where only you know the rest; for T17 and T18 advice
}

// String returns the finding on one line.
func (f Finding) String() string {
	return fmt.Sprintf("%s %s: %s %s; mend it with: %s", f.Rule, f.Severity, f.Object, f.Problem, f.Fix)
}

// ErrUnguarded is matched by the errors of Check and of a program's own gate on findings.
var ErrUnguarded = errors.New("tenancy/guard: the database does not keep tenants apart")

// Error is what Check found. It matches ErrUnguarded.
type Error struct{ Findings []Finding }

func (e *Error) Error() string {
	lines := make([]string, len(e.Findings))
	for i, f := range e.Findings {
		lines[i] = f.String()
	}
	return ErrUnguarded.Error() + "\n" + strings.Join(lines, "\n")
}

// Unwrap returns ErrUnguarded.
func (e *Error) Unwrap() error { return ErrUnguarded }
