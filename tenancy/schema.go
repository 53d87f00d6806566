package tenancy

import (
	"container/list"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5"
)

// schemaSQL sets the search_path, for this transaction, and fails if the schema is not there or not for this role.
const schemaSQL = `select tenancy.require_schema($1), set_config('search_path', $2, true)`

// searchPath is the setting for a schema. pg_temp stands last, or temporary tables would be found first.
func searchPath(schema string, shared []string) string {
	var path strings.Builder
	for _, name := range append([]string{schema}, shared...) {
		path.WriteString(pgx.Identifier{name}.Sanitize() + ", ")
	}
	return path.String() + "pg_temp"
}

// schemaSession is a session whose transactions search the schema of a tenant.
//
// Prepared statements are the difficulty. pgx keeps them by their text, which means other tables, perhaps with other
// columns, in each schema; so texts are labelled. And it prepares what is new before it sends the batch, when the
// search_path is not set yet; so a batch with new texts sends its head alone first. That is one more round trip for a
// statement that is new to a connection, beside the one in which pgx prepares it, and none for the others.
type schemaSession struct {
	*pgSession
	label string
	known *statements
}

func (s *pgSession) in(schema string, shared []string) *schemaSession {
	s.schema, s.path = schema, searchPath(schema, shared)
	sum := sha256.Sum256([]byte(schema)) // the name itself could end the comment, or hold words that mean something
	return &schemaSession{pgSession: s, label: "/*x" + hex.EncodeToString(sum[:8]) + "*/ ", known: statementsOf(s.conn.Conn())}
}

// Send implements Session.
func (s *schemaSession) Send(ctx context.Context, b *Batch) (pgx.BatchResults, error) {
	b, texts := s.labelled(ctx, b)
	if b.Begin == nil {
		return s.learn(texts)(s.pgSession.Send(ctx, b))
	}
	if s.known.all(texts) {
		results, err := s.pgSession.Send(ctx, b)
		if _, unsent := errors.AsType[pgx.ErrPreprocessingBatch](err); !unsent { // else pgx has forgotten one, outside of the schema
			return s.learn(texts)(results, err)
		}
		s.known.forget()
	}
	first, err := s.pgSession.Send(ctx, &Batch{Begin: b.Begin})
	if err == nil {
		if err = first.Close(); err != nil {
			err = &StepError{Index: -1, Err: err}
		}
	}
	if err != nil {
		return nil, err
	}
	rest := *b
	rest.Begin = nil
	return s.learn(texts)(s.pgSession.Send(ctx, &rest))
}

// learn remembers that the texts of a batch are prepared now. After an error pgx forgets them, and so does it.
func (s *schemaSession) learn(texts []string) func(pgx.BatchResults, error) (pgx.BatchResults, error) {
	return func(results pgx.BatchResults, err error) (pgx.BatchResults, error) {
		if err != nil {
			s.known.forget()
			return nil, err
		}
		s.known.add(texts)
		return schemaResults{results, s.known}, nil
	}
}

// labelled returns a copy of b whose statements are written out and labelled, and their texts.
func (s *schemaSession) labelled(ctx context.Context, b *Batch) (*Batch, []string) {
	placed, texts := *b, make([]string, 0, len(b.Steps)+len(b.Queries))
	placed.Steps, placed.Queries = make([]Step, len(b.Steps)), make([]*pgx.QueuedQuery, len(b.Queries))
	for i, step := range b.Steps {
		if step.Op == OpExpect {
			step = Step{Op: OpExec, SQL: step.SQL, Args: []any{expectation{step.Rows, step.Name, step.Args}}}
		}
		if step.Op == OpExec {
			step.SQL, step.Args = s.text(ctx, step.SQL, step.Args)
			texts = append(texts, step.SQL)
		}
		placed.Steps[i] = step
	}
	for i, q := range b.Queries {
		query := *q
		query.SQL, query.Arguments = s.text(ctx, q.SQL, q.Arguments)
		texts = append(texts, query.SQL)
		placed.Queries[i] = &query
	}
	return &placed, texts
}

func (s *schemaSession) text(ctx context.Context, sql string, args []any) (string, []any) {
	if len(args) > 0 {
		if r, ok := args[0].(pgx.QueryRewriter); ok {
			written, values, err := r.RewriteQuery(ctx, s.conn.Conn(), sql, args[1:])
			if err != nil {
				return sql, args // pgx gets the same error, and reports it
			}
			sql, args = written, values
		}
	}
	return s.label + sql, args
}

// schemaResults forget what pgx forgets.
type schemaResults struct {
	pgx.BatchResults
	known *statements
}

// Close implements pgx.BatchResults.
func (r schemaResults) Close() error {
	err := r.BatchResults.Close()
	if err != nil {
		r.known.forget()
	}
	return err
}

// statements are the labelled texts that a connection has prepared, the most recently used ones. It is a guess at what
// pgx remembers, half as much to be on the safe side; a wrong guess costs a round trip.
type statements struct {
	mode  pgx.QueryExecMode
	limit int
	at    map[string]*list.Element
	order *list.List // of string
}

// statementsOf returns those of a connection, which keeps them with it.
func statementsOf(conn *pgx.Conn) *statements {
	const key = "github.com/ashlar-go/ashlar/tenancy"
	data := conn.PgConn().CustomData()
	if known, ok := data[key].(*statements); ok {
		return known
	}
	cfg := conn.Config() // a copy, made once
	known := &statements{mode: cfg.DefaultQueryExecMode, at: map[string]*list.Element{}, order: list.New()}
	switch known.mode {
	case pgx.QueryExecModeCacheStatement:
		known.limit = cfg.StatementCacheCapacity / 2
	case pgx.QueryExecModeCacheDescribe:
		known.limit = cfg.DescriptionCacheCapacity / 2
	}
	data[key] = known
	return known
}

// all tells whether nothing needs to be prepared or described before it is sent.
func (k *statements) all(texts []string) bool {
	if k.mode == pgx.QueryExecModeExec || k.mode == pgx.QueryExecModeSimpleProtocol {
		return true
	}
	for _, text := range texts {
		if k.at[text] == nil {
			return false
		}
	}
	return true
}

func (k *statements) add(texts []string) {
	for _, text := range texts {
		if at := k.at[text]; at != nil {
			k.order.MoveToFront(at)
		} else {
			k.at[text] = k.order.PushFront(text)
		}
	}
	for k.order.Len() > k.limit {
		delete(k.at, k.order.Remove(k.order.Back()).(string))
	}
}

func (k *statements) forget() {
	clear(k.at)
	k.order.Init()
}
