package cache

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// A value can have tags of its own, which its load named and which stand in its body, beside
// those that every reader of its key knows. A reader learns them from the entry, so it takes a
// second look at the store, at their stamps only (ClaimCompare). It follows that
//
//   - the value's Seq must not be older than the claim under which it was loaded: it is the
//     clock's, not that of the tags which the claim knew;
//   - memory keeps the value if the second look, or the fill, found its own tags as they were,
//     and from the moment before that on; see coherence.extend.

const (
	maxOwnTags = 64  // of one value: each is read with every hit in the store
	maxOwnTag  = 256 // bytes
)

// ErrTags is reported for a load that named more than 64 tags, or one of more than 256 bytes.
// Its value goes to those who wait for it and is not kept.
var ErrTags = errors.New("cache: more than 64 tags of one value, or one of more than 256 bytes")

// checkOwn refuses tags that a body does not take.
func checkOwn(tags []string) error {
	if len(tags) > maxOwnTags {
		return fmt.Errorf("%w: there are %d", ErrTags, len(tags))
	}
	for _, t := range tags {
		if len(t) > maxOwnTag {
			return fmt.Errorf("%w: one has %d bytes", ErrTags, len(t)) // the tag itself may be a secret
		}
	}
	return nil
}

// with are the tags of the request and those of one of its values, each once.
func (sp *spec) with(own []string) []string {
	if len(own) == 0 {
		return sp.tags
	}
	all := slices.Grow(slices.Clone(sp.tags), len(own))
	for _, t := range own {
		if name := tagKey(sp.tenant, t); !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	return all
}

// compare takes the second look at an entry whose value has tags of its own.
func (s *space[V]) compare(ctx context.Context, e *Entry, f *found[V]) {
	if s.blocked(ctx, e, f) {
		return
	}
	answers, err := s.store.Acquire(s.storeContext(ctx), []Claim{f.question(e)})
	s.outcome(ctx, "acquire", err)
	if err != nil {
		f.refuse(e, Missing)
		return
	}
	f.judge(e, &answers[0])
}

func (f *found[V]) question(e *Entry) Claim {
	return Claim{Tags: f.own, Mode: ClaimCompare, Seen: e.ID}
}

// blocked refuses what this process must not use, whatever the store says.
func (s *space[V]) blocked(ctx context.Context, e *Entry, f *found[V]) bool {
	if s.dirty.any() && s.privateTags(ctx, f.own) {
		f.private = true
		f.refuse(e, Held)
		return true
	}
	if !s.pending.blocks("", f.own) {
		return false
	}
	s.flush(ctx)
	if !s.pending.blocks("", f.own) {
		return false
	}
	f.refuse(e, Missing)
	return true
}

// judge applies the answer to the question.
func (f *found[V]) judge(e, answer *Entry) {
	switch {
	case answer.State == Held:
		f.refuse(e, Held)
	case !answer.Valid:
		f.refuse(e, Filled)
	}
}

// refuse makes the entry one that must not be served, and of state, unless there is a lease to
// load it anew.
func (f *found[V]) refuse(e *Entry, state State) {
	f.ok, e.Valid = false, false
	if !e.Granted {
		e.State = state
	}
}
