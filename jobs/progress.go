package jobs

import (
	"context"
	"encoding/json"
)

// maxNote bounds the text of a progress, in bytes.
const maxNote = 256

// progress is the JSON of Entry.Progress.
type progress struct {
	Done  int    `json:"done"`
	Total int    `json:"total,omitempty"`
	Note  string `json:"note,omitempty"`
}

// Progress tells how far a handler is: done of total, which is zero if it is
// not known, and a note of up to 256 bytes. Operators see the latest one of a
// job while it runs, half a second late at most. Outside a handler it does
// nothing. It is cheap: call it as often as you like.
func Progress(ctx context.Context, done, total int, note string) {
	a, ok := ctx.Value(attemptKey{}).(*attempt)
	if !ok || a.note == nil {
		return
	}
	if len(note) > maxNote {
		note = note[:maxNote]
	}
	data, err := json.Marshal(progress{done, total, note})
	if err == nil { // numbers and text always can be
		a.note(a, data)
	}
}

// progress keeps the latest note of a running job for the next exchange.
func (p *pool) progress(a *attempt, data []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if a.epoch != p.epoch || a.over() {
		return
	}
	if p.notes == nil {
		p.notes = map[string][]byte{}
	}
	if p.notes[a.job.ID] = data; len(p.notes) == 1 {
		p.tell()
	}
}
