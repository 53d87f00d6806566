package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/internal/sqltext"
	"github.com/ashlar-go/ashlar/tenancy/record"
)

// maxSetting bounds the JSON of one value: settings are read together.
const maxSetting = 64 << 10

// settingForm leaves ':' to the registry's own rows.
var settingForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)

// settingRow is what a tenant has of its own; everything else comes from its plan or from the program.
type settingRow struct {
	Name      string          `db:"name,pk"`
	Value     json.RawMessage `db:"value,json"`
	Version   int64           `db:"version,version"`
	CreatedAt time.Time       `db:"created_at,created"`
	UpdatedAt time.Time       `db:"updated_at,updated"`
}

var settingRows = record.Define[settingRow]("registry.settings", nil)

// Config is what a tenant's settings and flags were at one time: read it once per request or job, then ask Setting.Get and
// Flag.On, which cost nothing. It is made by Registry.Config and is safe for concurrent use.
type Config struct {
	Tenant Tenant
	own    map[string]json.RawMessage
}

// Config reads the tenant of ctx with its settings and flags, in whatever state it is, or returns ErrUnknownTenant. One round
// trip, one snapshot.
func (r *Registry) Config(ctx context.Context) (*Config, error) {
	id, err := tenantOf(ctx)
	if err != nil {
		return nil, err
	}
	row, err := tenancy.One[struct {
		Tenant
		Own string
	}](ctx, r.db, sqltext.Config, id)
	if err != nil {
		return nil, unknownTenant(err)
	}
	c := &Config{Tenant: row.Tenant}
	for _, at := range []*time.Time{&c.Tenant.StateAt, &c.Tenant.CreatedAt, &c.Tenant.UpdatedAt} {
		*at = at.UTC()
	}
	if err := json.Unmarshal([]byte(row.Own), &c.own); err != nil {
		return nil, fmt.Errorf("registry: settings: %w", err)
	}
	return c, nil
}

// Setting is a typed setting: what the tenant chose, else what its plan says, else the default. It is a value; the program
// keeps its settings in package-level variables.
type Setting[T any] struct {
	// Name is 1 to 100 of A-Z a-z 0-9 . _ -
	Name string

	// Default is for tenants that have nothing else.
	Default T

	// Plans are values by Tenant.Plan. Nil means that plans make no difference.
	Plans map[string]T

	// Check refuses values in Set. Nil means that all are accepted.
	Check func(T) error

	// Hidden keeps values out of the audit log. False means that the log has the old value and the new one.
	Hidden bool
}

// Get returns the value for the tenant of c. The error says that what is stored is no T: the program has changed the type.
func (s Setting[T]) Get(c *Config) (T, error) {
	raw, ok := c.own[s.Name]
	if !ok {
		if v, ok := s.Plans[c.Tenant.Plan]; ok {
			return v, nil
		}
		return s.Default, nil
	}
	var v T
	if err := json.Unmarshal(raw, &v); err != nil {
		return v, fmt.Errorf("registry: setting %q is stored as something else: %w", s.Name, err)
	}
	return v, nil
}

// Set gives the tenant of ctx a value of its own. A value that cannot be encoded, or is larger than 64 KiB of JSON, is
// ErrMalformed; a tenant that is being deleted takes none (*StateError).
func (s Setting[T]) Set(ctx context.Context, r *Registry, v T) error {
	if s.Check != nil {
		if err := s.Check(v); err != nil {
			return fmt.Errorf("registry: setting %q: %w", s.Name, err)
		}
	}
	raw, err := json.Marshal(v)
	if err == nil {
		err = checkSetting(s.Name, raw)
	}
	if err != nil {
		return fmt.Errorf("registry: setting %.40q: %w", s.Name, err)
	}
	return r.put(ctx, "setting.changed", s.Name, s.Name, raw, s.Hidden)
}

// Unset takes the tenant's own value away, so that its plan or the default decides again. It is idempotent.
func (s Setting[T]) Unset(ctx context.Context, r *Registry) error {
	return r.put(ctx, "setting.changed", s.Name, s.Name, nil, s.Hidden)
}

func checkSetting(name string, raw json.RawMessage) error {
	switch {
	case !settingForm.MatchString(name):
		return fmt.Errorf("%w name: want 1 to 100 of A-Z a-z 0-9 . _ -", ErrMalformed)
	case len(raw) > maxSetting:
		return fmt.Errorf("%w value: %d bytes of JSON, at most %d", ErrMalformed, len(raw), maxSetting)
	}
	return checkJSON(raw)
}

// checkJSON refuses what is JSON, and no jsonb for PostgreSQL.
func checkJSON(raw json.RawMessage) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	for {
		token, err := d.Token()
		switch v := token.(type) {
		case string: // a name too
			if strings.ContainsRune(v, 0) {
				return fmt.Errorf("%w value: contains NUL", ErrMalformed)
			}
			if strings.ContainsRune(v, utf8.RuneError) && bytes.Contains(bytes.ToLower(raw), []byte(`\ud`)) {
				return fmt.Errorf("%w value: contains half a character", ErrMalformed)
			}
		case json.Number:
			_, tooLarge := v.Float64()
			_, exponent, _ := strings.Cut(strings.ToLower(string(v)), "e")
			if small, err := strconv.Atoi(exponent); tooLarge != nil || len(v) > 1000 || exponent != "" && (err != nil || small < -1000) {
				return fmt.Errorf("%w value: contains a number that is too large, or too exact", ErrMalformed)
			}
		}
		if err != nil { // raw is JSON, so this is its end
			return nil
		}
	}
}

// put writes one row of settings, or deletes it if raw is nil. subject is its name in the event.
func (r *Registry) put(ctx context.Context, event, subject, row string, raw json.RawMessage, hidden bool) error {
	return r.db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		t, err := r.locked(ctx, tx) // two first values meet here
		if err == nil && raw != nil {
			err = t.takesMore()
		}
		if err != nil {
			return err
		}
		old, err := settingRows.FindBy(ctx, tx, "name = $1", row)
		switch {
		case errors.Is(err, tenancy.ErrNotFound):
			old = settingRow{Name: row}
		case err != nil:
			return err
		}
		before, after := fields{"value": old.Value}, fields{"value": raw}
		if old.Version == 0 {
			before = nil
		}
		if sameJSON(old.Value, raw) {
			return nil
		}
		if raw == nil {
			err, after = settingRows.Delete(ctx, tx, &old), nil
		} else {
			old.Value = raw
			err = settingRows.SaveLater(tx, &old)
		}
		if err != nil {
			return err
		}
		if hidden {
			before, after = nil, fields{"value": "(hidden)"}
		}
		changed(tx, Event{Type: event, Subject: subject}, before, after)
		return nil
	})
}

// sameJSON compares values, not spelling: the database normalises what it stores.
func sameJSON(a, b json.RawMessage) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	var x, y any
	for text, to := range map[*json.RawMessage]*any{&a: &x, &b: &y} {
		d := json.NewDecoder(bytes.NewReader(*text))
		d.UseNumber() // a float64 has not room for all of an int64
		if d.Decode(to) != nil {
			return false
		}
	}
	return sameValue(x, y)
}

func sameValue(x, y any) bool {
	switch x := x.(type) {
	case map[string]any:
		y, ok := y.(map[string]any)
		return ok && maps.EqualFunc(x, y, sameValue)
	case []any:
		y, ok := y.([]any)
		return ok && slices.EqualFunc(x, y, sameValue)
	case json.Number:
		y, ok := y.(json.Number)
		if !ok || x == y {
			return ok
		}
		if !strings.ContainsAny(string(x+y), ".eE") {
			return false // two integers
		}
		p, _ := x.Float64() // 1e21 is stored as all its digits
		q, _ := y.Float64()
		return p == q
	}
	return x == y
}
