package tenancy_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/tenancytest"
)

// listening returns a DB in memory and the system units in its log since the last call, from a level on.
func listening(t *testing.T, level slog.Level) (*tenancy.DB, func() []string) {
	t.Helper()
	var text bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{Level: level}))
	db, err := tenancy.New(nil, &tenancy.Options{Driver: tenancytest.New(t), Logger: logger})
	require.NoError(t, err)
	return db, func() (lines []string) {
		for line := range strings.Lines(text.String()) {
			if _, rest, ok := strings.Cut(line, `msg="tenancy: system unit" `); ok {
				lines = append(lines, strings.TrimSpace(rest))
			}
		}
		text.Reset()
		return lines
	}
}

// TestSystemUnitsAreInTheLog: whatever a unit of the system role is begun with, it leaves one line at Info.
func TestSystemUnitsAreInTheLog(t *testing.T) {
	t.Parallel()
	db, lines := listening(t, slog.LevelInfo)
	const sql = `select id, tenant_id, payload from tenancy.outbox order by tx, id` // never mind whether the kit knows it
	for name, run := range map[string]func(ctx context.Context) error{
		"Do": func(ctx context.Context) error {
			return db.Do(ctx, func(ctx context.Context, _ *tenancy.Tx) error { // and one line with its savepoint
				return db.Do(ctx, func(context.Context, *tenancy.Tx) error { return nil })
			})
		},
		"Read": func(ctx context.Context) error {
			return db.Read(ctx, func(context.Context, *tenancy.Tx) error { return nil })
		},
		"One":      func(ctx context.Context) error { _, err := tenancy.One[string](ctx, db, sql); return err },
		"All":      func(ctx context.Context) error { _, err := tenancy.All[string](ctx, db, sql); return err },
		"Exec":     func(ctx context.Context) error { _, err := db.Exec(ctx, sql); return err },
		"QueryRow": func(ctx context.Context) error { var s string; return db.QueryRow(ctx, sql).Scan(&s) },
		"Begin": func(ctx context.Context) error {
			tx, err := db.Begin(ctx)
			if err != nil {
				return err
			}
			return tx.Rollback(ctx)
		},
	} {
		_ = run(tenancy.WithID(t.Context(), "acme"))
		require.Empty(t, lines(), name)
		_ = run(tenancy.System(t.Context(), "reason of "+name))
		require.Equal(t, []string{fmt.Sprintf(`reason="reason of %s" tenant=""`, name)}, lines(), name)
		_ = run(tenancy.System(tenancy.WithID(t.Context(), "acme"), "reason of "+name))
		require.Equal(t, []string{fmt.Sprintf(`reason="reason of %s" tenant=acme`, name)}, lines(), name)
	}
}

// TestALoopDoesNotFillTheLog: at Info the same unit is seen once a minute, at Debug each time, and a different one at once.
func TestALoopDoesNotFillTheLog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for level, want := range map[slog.Level]int{slog.LevelInfo: 3, slog.LevelDebug: 121} {
			db, lines := listening(t, level)
			run := func(ctx context.Context, reason string) {
				require.NoError(t, db.Do(tenancy.System(ctx, reason), func(context.Context, *tenancy.Tx) error { return nil }))
			}
			for i := range 121 {
				run(tenancy.WithActor(t.Context(), tenancy.Actor{ID: "relay", RequestID: fmt.Sprint(i)}), "relay")
				<-time.After(time.Second)
			}
			require.Len(t, lines(), want, level)
			run(tenancy.WithActor(t.Context(), tenancy.Actor{ID: "eve"}), "relay")
			run(tenancy.WithID(t.Context(), "acme"), "relay")
			require.Len(t, lines(), 2, level)
			for i := range 3000 { // more than are remembered: none is missed
				run(t.Context(), fmt.Sprint(i))
			}
			require.Len(t, lines(), 3000, level)
		}
	})
}
