package tenancytest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/ashlar-go/ashlar/tenancy"
)

// suite is what a case works with; its methods fail the test by themselves.
type suite struct {
	*testing.T
	db  *tenancy.DB
	ctx context.Context // of tenant acme
}

var errPlanned = errors.New("planned failure")

func (s *suite) put(ctx context.Context, tx *tenancy.Tx, key string, value int) {
	s.Helper()
	_, err := tx.Exec(ctx, putSQL, key, value)
	s.ok(err)
}

// rows returns the committed rows of ctx's tenant as "key=value".
func (s *suite) rows(ctx context.Context) []string {
	s.Helper()
	list, err := tenancy.All[suiteRow](ctx, s.db, listSQL)
	s.ok(err)
	text := []string{}
	for _, r := range list {
		text = append(text, fmt.Sprintf("%s=%d", r.Key, r.Value))
	}
	return text
}

// events returns the committed events as "tenant type key body".
func (s *suite) events() []string {
	s.Helper()
	list, err := tenancy.All[suiteEvent](tenancy.System(context.WithoutCancel(s.ctx), "suite"), s.db, eventSQL)
	s.ok(err)
	text := []string{}
	for _, e := range list {
		text = append(text, fmt.Sprintf("%s %s %s %s", e.Tenant, e.Type, e.Key, e.Body))
	}
	return text
}

func (s *suite) ok(err error) {
	s.Helper()
	if err != nil {
		s.Fatalf("unexpected error: %v", err)
	}
}

func (s *suite) is(err, want error) {
	s.Helper()
	if !errors.Is(err, want) {
		s.Fatalf("error is %v, want %v", err, want)
	}
}

func (s *suite) equal(got, want any) {
	s.Helper()
	if !reflect.DeepEqual(got, want) {
		s.Fatalf("got %v, want %v", got, want)
	}
}

// code fails unless err is PostgreSQL's error of that code.
func (s *suite) code(err error, want string) {
	s.Helper()
	var pgErr interface{ SQLState() string }
	if !errors.As(err, &pgErr) || pgErr.SQLState() != want {
		s.Fatalf("error is %v, want SQLSTATE %s", err, want)
	}
}

type happened struct{ N int }

func (happened) EventType() string { return "happened" }

func (h happened) EventKey() string { return fmt.Sprint("k", h.N%2) }
