package tenancy

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	noteAgain = time.Minute
	maxNotes  = 1024
)

// notes remembers which system units have been in the log lately, so that a relay that reads all the time fills no disk.
type notes struct {
	mu   sync.Mutex
	last map[note]time.Time
}

// note is by whom, for which tenant and why a system unit runs.
type note struct {
	by             Actor
	tenant, reason string
}

// due tells whether n is to be seen. When too many are known it forgets all: a line too many is better than one too few.
func (s *notes) due(n note, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at, ok := s.last[n]; ok && now.Sub(at) < noteAgain {
		return false
	}
	if s.last == nil || len(s.last) >= maxNotes {
		s.last = map[note]time.Time{}
	}
	s.last[n] = now
	return true
}

// noteSystem writes a unit of the system role to the log, once and not per attempt.
func (c *core) noteSystem(ctx context.Context, who identity) {
	if !who.system {
		return
	}
	n := note{tenant: who.tenant}
	n.by, _ = ActorFrom(ctx)
	n.by.RequestID, n.by.IP = "", "" // they differ each time
	n.reason, _ = ctx.Value(systemKey{}).(string)
	level := slog.LevelDebug
	if c.notes.due(n, time.Now()) {
		level = slog.LevelInfo
	}
	c.opts.logger().Log(ctx, level, "tenancy: system unit", "reason", n.reason, "tenant", n.tenant)
}
