package tenancy

import (
	"context"
	"log/slog"
	"slices"
)

// LogHandler returns a handler that adds to each record what the context of the call has: the tenant as "tenant", and of the
// actor "actor" and "on_behalf_of" (see WithActor). They stand at the top level, outside of any group; what is missing or empty
// in the context is left out, and a record or a logger (Logger.With) that has such an attribute of its own at the top level
// keeps that. Only calls with a context have one: Logger.InfoContext, not Logger.Info. It is safe for concurrent use if next is.
func LogHandler(next slog.Handler) slog.Handler { return &logHandler{next: next} }

// logHandler keeps what was added since the first group, to add its own attributes in front of that.
type logHandler struct {
	next    slog.Handler
	own     []string // keys that next has at the top level
	grouped []func(slog.Handler) slog.Handler
}

func (h *logHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level)
}

func (h *logHandler) Handle(ctx context.Context, r slog.Record) error {
	tenant, _ := IDFrom(ctx)
	actor, _ := ActorFrom(ctx)
	var attrs []slog.Attr
	for _, a := range []slog.Attr{slog.String("tenant", tenant), slog.String("actor", actor.ID), slog.String("on_behalf_of", actor.OnBehalfOf)} {
		if a.Value.String() != "" && !slices.Contains(h.own, a.Key) && (h.grouped != nil || !has(r, a.Key)) {
			attrs = append(attrs, a)
		}
	}
	next := h.next.WithAttrs(attrs)
	for _, add := range h.grouped {
		next = add(next)
	}
	return next.Handle(ctx, r)
}

func has(r slog.Record, key string) (found bool) {
	r.Attrs(func(a slog.Attr) bool { found = a.Key == key; return !found })
	return found
}

func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	if h.grouped == nil {
		own := slices.Clone(h.own)
		for _, a := range attrs {
			own = append(own, a.Key)
		}
		return &logHandler{next: h.next.WithAttrs(attrs), own: own}
	}
	return h.and(func(next slog.Handler) slog.Handler { return next.WithAttrs(attrs) })
}

func (h *logHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	return h.and(func(next slog.Handler) slog.Handler { return next.WithGroup(name) })
}

func (h *logHandler) and(add func(slog.Handler) slog.Handler) slog.Handler {
	return &logHandler{next: h.next, own: h.own, grouped: append(h.grouped[:len(h.grouped):len(h.grouped)], add)}
}
