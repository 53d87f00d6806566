package migrate

import "github.com/ashlar-go/ashlar/tenancy/internal/sqlsplit"

// Parsed is what a file does.
type Parsed struct {
	Text   string
	Pieces []sqlsplit.Statement
}

// Read parses a source without a database.
func Read(s Source) (out []Parsed, err error) {
	sets, err := read([]Source{s})
	if err != nil {
		return nil, err
	}
	for _, f := range sets[0].files {
		out = append(out, Parsed{f.text, f.pieces})
	}
	return out, nil
}
