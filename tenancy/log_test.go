package tenancy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"testing"
	"testing/slogtest"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/tenancy"
)

// TestLogHandlerIsAHandler: whatever loggers are made of it, it keeps the rules of slog.
func TestLogHandlerIsAHandler(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	slogtest.Run(t, func(*testing.T) slog.Handler {
		out.Reset()
		return tenancy.LogHandler(slog.NewJSONHandler(&out, nil))
	}, func(t *testing.T) (line map[string]any) {
		require.NoError(t, json.Unmarshal(out.Bytes(), &line))
		return line
	})
}

func TestLogHandlerAddsWhoItIs(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	plain := slog.New(tenancy.LogHandler(slog.NewJSONHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey || a.Key == slog.MessageKey) {
			return slog.Attr{}
		}
		return a
	}})))
	acme := tenancy.WithID(t.Context(), "acme")
	support := tenancy.WithActor(acme, tenancy.Actor{ID: "sue", OnBehalfOf: "ann", IP: "192.0.2.1"})
	grouped := plain.With("block", "web").WithGroup("request").With("path", "/")
	for _, c := range []struct {
		name string
		log  *slog.Logger
		ctx  context.Context
		args []any
		want string
	}{
		{"nobody", plain, t.Context(), []any{"n", 1}, `{"n":1}`},
		{"a tenant", plain, acme, []any{"n", 1}, `{"tenant":"acme","n":1}`},
		{"an impersonation", plain, support, nil, `{"tenant":"acme","actor":"sue","on_behalf_of":"ann"}`},
		{"the system for no tenant", plain, tenancy.System(t.Context(), "test"), nil, `{}`},
		{"in a group", grouped, acme, []any{"n", 1}, `{"block":"web","tenant":"acme","request":{"path":"/","n":1}}`},
		{"in a group that has a tenant", grouped, acme, []any{"tenant", "x"}, `{"block":"web","tenant":"acme","request":{"path":"/","tenant":"x"}}`},
		{"a record that names one", plain, acme, []any{"tenant", "globex"}, `{"tenant":"globex"}`},
		{"a logger that names one", plain.With("tenant", "globex"), support, nil, `{"tenant":"globex","actor":"sue","on_behalf_of":"ann"}`},
		{"a logger that names one, grouped", plain.With("tenant", "globex").WithGroup("g"), acme, []any{"n", 1}, `{"tenant":"globex","g":{"n":1}}`},
		{"a logger that names one in a group", grouped.With("tenant", "x"), acme, nil, `{"block":"web","tenant":"acme","request":{"path":"/","tenant":"x"}}`},
	} {
		out.Reset()
		c.log.InfoContext(c.ctx, "", c.args...)
		require.Equal(t, c.want+"\n", out.String(), c.name)
	}
	// Loggers made of one do not share what was added to the other.
	a, b := grouped.With("a", 1), grouped.With("b", 2)
	out.Reset()
	a.InfoContext(acme, "")
	b.InfoContext(acme, "")
	require.Equal(t, `{"block":"web","tenant":"acme","request":{"path":"/","a":1}}
{"block":"web","tenant":"acme","request":{"path":"/","b":2}}
`, out.String())
	require.False(t, plain.Enabled(acme, slog.LevelDebug), "the next handler decides")
}

func ExampleLogHandler() {
	log := slog.New(tenancy.LogHandler(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})))
	ctx := tenancy.WithID(context.Background(), "acme")
	ctx = tenancy.WithActor(ctx, tenancy.Actor{ID: "ann"})
	log.InfoContext(ctx, "note added", "note", 7)
	// Output: level=INFO msg="note added" tenant=acme actor=ann note=7
}
