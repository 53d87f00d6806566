package outbox

import (
	"context"
	"crypto/rand"
	_ "embed"
	"fmt"
	"time"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/internal/sqltext"
)

// SinkInfo is what relays told about a sink.
type SinkInfo struct {
	ID   string    // made by its first relay
	Name string    // Options.Name of the relay that told it
	At   time.Time // when, UTC; a relay tells at its start, once a minute and at its end

	// Behind is the age of the oldest event that the sink does not have, as far as told; zero means none.
	Behind time.Duration

	position position
}

type sinkRow struct {
	ID       string
	Name     string
	Position string
	At       time.Time
}

//go:embed list_sinks.sql
var listSinks string

//go:embed oldest.sql
var oldestSQL string

// Sinks returns the sinks that keep events from being dropped by Maintain, those first that told longest ago.
// db needs Options.System.
func Sinks(ctx context.Context, db *tenancy.DB) ([]SinkInfo, error) {
	ctx = tenancy.System(ctx, "outbox sinks")
	rows, err := tenancy.All[sinkRow](ctx, db, listSinks)
	if err != nil {
		return nil, fmt.Errorf("outbox: sinks: %w", err)
	}
	list := make([]SinkInfo, len(rows))
	for i, r := range rows {
		p, err := parsePosition(r.Position)
		if err != nil {
			return nil, err
		}
		list[i] = SinkInfo{ID: r.ID, Name: r.Name, At: r.At.UTC(), position: p}
		behind, err := tenancy.One[float64](ctx, db, oldestSQL, string(p.from), p.floor)
		if err != nil {
			return nil, fmt.Errorf("outbox: sinks: %w", err)
		}
		list[i].Behind = time.Duration(behind * float64(time.Second))
	}
	return list, nil
}

// Forget lets events go that the sink with this id does not have. A relay that still serves the sink registers it again.
// It returns tenancy.ErrNotFound if there is none.
func Forget(ctx context.Context, db *tenancy.DB, id string) error {
	if !isUUID(id) {
		return fmt.Errorf("outbox: forget: %w", tenancy.ErrNotFound)
	}
	return db.Do(tenancy.System(ctx, "outbox forget"), func(ctx context.Context, tx *tenancy.Tx) error {
		tag, err := tx.Exec(ctx, `delete from tenancy.outbox_sink where id = $1::text::uuid`, id)
		if err == nil && tag.RowsAffected() == 0 {
			err = tenancy.ErrNotFound
		}
		if err != nil {
			return fmt.Errorf("outbox: forget: %w", err)
		}
		return nil
	})
}

// note tells the database where the sink stands if it was not told in the last pause. What it says may be old, but never
// ahead of the sink.
func (r *Relay) note(ctx context.Context, c *cursor, pause time.Duration) error {
	if !c.known || c.at.sink == "" || c.noted != "" && (time.Since(c.when) < pause || c.noted == c.stored && pause == 0) {
		return nil
	}
	if err := save(ctx, r.db, c.at.sink, r.opts.name(r.sink), c.stored); err != nil {
		return err
	}
	c.noted, c.when = c.stored, time.Now()
	return nil
}

func save(ctx context.Context, db *tenancy.DB, id, name, position string) error {
	err := db.Do(tenancy.System(ctx, "outbox relay"), func(_ context.Context, tx *tenancy.Tx) error {
		tx.Defer(sqltext.SaveSink, id, name, position)
		return nil
	})
	if err != nil {
		return fmt.Errorf("outbox: note the position: %w", err)
	}
	return nil
}

// farewell is the note at the end of Run, beyond the end of its context. Its failure only makes the note older.
func (r *Relay) farewell(ctx context.Context, c *cursor) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if err := r.note(ctx, c, 0); err != nil {
		r.opts.logger().WarnContext(ctx, "outbox: last note failed", "error", err)
	}
}

// newID returns a random UUID.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
