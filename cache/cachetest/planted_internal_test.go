package cachetest

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/cache"
)

// Each broken store has one mistake that caches in the field have made. The suite must find
// it, in the case named for it.

// overwriting stores what it is given when the entry is missing, lease or not.
type overwriting struct{ *Store }

func (s overwriting) Fill(ctx context.Context, fills []cache.Fill) ([]bool, error) {
	for _, f := range fills {
		_, err := s.Acquire(ctx, []cache.Claim{{Key: f.Key, Token: f.Token, TTL: time.Second}})
		if err != nil {
			return nil, err
		}
	}
	return s.Store.Fill(ctx, fills)
}

// perProcess uses one token for all attempts of a process.
type perProcess struct{ *Store }

func (s perProcess) Acquire(ctx context.Context, claims []cache.Claim) ([]cache.Entry, error) {
	claims = slices.Clone(claims)
	for i := range claims {
		claims[i].Token = "process"
	}
	return s.Store.Acquire(ctx, claims)
}

func (s perProcess) Fill(ctx context.Context, fills []cache.Fill) ([]bool, error) {
	fills = slices.Clone(fills)
	for i := range fills {
		fills[i].Token = "process"
	}
	return s.Store.Fill(ctx, fills)
}

// optimistic says of every fill that it was stored and is up to date.
type optimistic struct{ *Store }

func (s optimistic) Fill(ctx context.Context, fills []cache.Fill) ([]bool, error) {
	done, err := s.Store.Fill(ctx, fills)
	for i := range done {
		done[i] = true
	}
	return done, err
}

// untagged does not compare stamps.
type untagged struct{ *Store }

func (s untagged) Acquire(ctx context.Context, claims []cache.Claim) ([]cache.Entry, error) {
	entries, err := s.Store.Acquire(ctx, claims)
	for i := range entries {
		entries[i].Valid = entries[i].State == cache.Filled
	}
	return entries, err
}

// mute tells nobody of invalidations.
type mute struct{ *Store }

func (s mute) Watch(ctx context.Context, node string, sink func(cache.Event)) error {
	return s.Store.Watch(ctx, node, func(e cache.Event) {
		if e.Kind != cache.EventInvalidated && e.Kind != cache.EventStamped {
			sink(e)
		}
	})
}

// hasty lets beats overtake the event before them.
type hasty struct{ *Store }

func (s hasty) Watch(ctx context.Context, node string, sink func(cache.Event)) error {
	var held []cache.Event
	return s.Store.Watch(ctx, node, func(e cache.Event) {
		if e.Kind == cache.EventInvalidated {
			held = append(held, e)
			return
		}
		sink(e)
		for _, h := range held {
			sink(h)
		}
		held = nil
	})
}

// forgetful neither renews nor takes back.
type forgetful struct{ *Store }

func (forgetful) Renew(context.Context, []cache.Lease, time.Duration) error { return nil }
func (forgetful) Abandon(context.Context, []cache.Lease) error              { return nil }

// generous gives everybody the lease beside a value.
type generous struct{ *Store }

func (s generous) Acquire(ctx context.Context, claims []cache.Claim) ([]cache.Entry, error) {
	entries, err := s.Store.Acquire(ctx, claims)
	for i := range entries {
		entries[i].Granted = entries[i].Granted || claims[i].Mode == cache.ClaimBeside
	}
	return entries, err
}

// unheld takes a hold for an invalidation, which is what caches without holds do before a commit.
type unheld struct{ *Store }

func (s unheld) Hold(ctx context.Context, h cache.Hold) error {
	return s.Invalidate(ctx, h.Keys, h.Tags)
}

// eternal keeps holds whose writer died.
type eternal struct{ *Store }

func (s eternal) Hold(ctx context.Context, h cache.Hold) error {
	h.TTL = time.Hour
	return s.Store.Hold(ctx, h)
}

// insistent stores a caller's own value whatever is there.
type insistent struct{ *Store }

func (s insistent) Fill(ctx context.Context, fills []cache.Fill) ([]bool, error) {
	fills = slices.Clone(fills)
	for i := range fills {
		f := &fills[i]
		if f.Token != "" {
			continue
		}
		f.Token = "insisting"
		if err := s.Invalidate(ctx, []string{f.Key}, nil); err != nil {
			return nil, err
		}
		e, err := s.Acquire(ctx, []cache.Claim{{Key: f.Key, Tags: f.Tags, Token: f.Token, TTL: time.Second}})
		if err != nil {
			return nil, err
		}
		f.Seq = e[0].Seq
	}
	return s.Store.Fill(ctx, fills)
}

// nosy takes a lease to look.
type nosy struct{ *Store }

func (s nosy) Acquire(ctx context.Context, claims []cache.Claim) ([]cache.Entry, error) {
	claims = slices.Clone(claims)
	for i := range claims {
		if claims[i].Mode == cache.ClaimNothing {
			claims[i].Mode = cache.ClaimMissing
		}
	}
	return s.Store.Acquire(ctx, claims)
}

// trusting does not compare stamps when it reads without a lease.
type trusting struct{ *Store }

func (s trusting) Acquire(ctx context.Context, claims []cache.Claim) ([]cache.Entry, error) {
	entries, err := s.Store.Acquire(ctx, claims)
	for i := range entries {
		if claims[i].Mode == cache.ClaimNothing {
			entries[i].Valid = entries[i].State == cache.Filled
		}
	}
	return entries, err
}

// forgotten checks, when it stores a value, only the tags that were known before its load.
type forgotten struct {
	*Store
	known *sync.Map // token → tags
}

func (s forgotten) Acquire(ctx context.Context, claims []cache.Claim) ([]cache.Entry, error) {
	for _, c := range claims {
		s.known.Store(c.Token, c.Tags)
	}
	return s.Store.Acquire(ctx, claims)
}

func (s forgotten) Fill(ctx context.Context, fills []cache.Fill) ([]bool, error) {
	fills = slices.Clone(fills)
	for i := range fills {
		tags, _ := s.known.Load(fills[i].Token)
		fills[i].Tags, _ = tags.([]string)
	}
	return s.Store.Fill(ctx, fills)
}

// short takes no second look, and dated gives values the seq of the tags that were known before.
type short struct{ *Store }

func (s short) Acquire(ctx context.Context, claims []cache.Claim) ([]cache.Entry, error) {
	entries, err := s.Store.Acquire(ctx, claims)
	for i := range entries {
		if claims[i].Mode == cache.ClaimCompare {
			entries[i].State, entries[i].Valid = cache.Filled, true
		}
	}
	return entries, err
}

type dated struct{ *Store }

func (s dated) Acquire(ctx context.Context, claims []cache.Claim) ([]cache.Entry, error) {
	entries, err := s.Store.Acquire(ctx, claims)
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	for i := range entries {
		entries[i].Seq, _ = s.server.stamp(claims[i].Tags)
	}
	return entries, err
}

// moving moves the clock for each tag that comes up, and early takes it after the load.
type moving struct{ *Store }

func (s moving) Fill(ctx context.Context, fills []cache.Fill) ([]bool, error) {
	s.server.mu.Lock()
	for _, f := range fills {
		for _, t := range f.Tags {
			if _, ok := s.server.stamps[t]; !ok {
				s.server.stamps[t] = s.server.tick()
			}
		}
	}
	s.server.mu.Unlock()
	return s.Store.Fill(ctx, fills)
}

type late struct{ *Store }

func (s late) Fill(ctx context.Context, fills []cache.Fill) ([]bool, error) {
	fills = slices.Clone(fills)
	s.server.mu.Lock()
	for i := range fills {
		fills[i].Seq = s.server.clock
	}
	s.server.mu.Unlock()
	return s.Store.Fill(ctx, fills)
}

// unseen compares with a tag that is held as if it were not.
type unseen struct{ *Store }

func (s unseen) Acquire(ctx context.Context, claims []cache.Claim) ([]cache.Entry, error) {
	entries, err := s.Store.Acquire(ctx, claims)
	for i := range entries {
		if claims[i].Mode == cache.ClaimCompare && entries[i].State == cache.Held {
			entries[i].State, entries[i].Valid = cache.Filled, true
		}
	}
	return entries, err
}

// halfDeaf hears only of tags that claims know.
type halfDeaf struct {
	*Store
	known *sync.Map
}

func (s halfDeaf) Acquire(ctx context.Context, claims []cache.Claim) ([]cache.Entry, error) {
	for _, c := range claims {
		for _, t := range c.Tags {
			if c.Mode != cache.ClaimCompare {
				s.known.Store(t, true)
			}
		}
	}
	return s.Store.Acquire(ctx, claims)
}

func (s halfDeaf) Watch(ctx context.Context, node string, sink func(cache.Event)) error {
	return s.Store.Watch(ctx, node, func(e cache.Event) {
		if _, ok := s.known.Load(e.Name); ok || e.Kind != cache.EventStamped {
			sink(e)
		}
	})
}

// sliding moves a counter's window with each addition, and unfenced gives every owner one fence.
type sliding struct{ *Store }

func (s sliding) Add(ctx context.Context, key string, n int64, window time.Duration) (int64, time.Duration, error) {
	total, left, err := s.Store.Add(ctx, key, n, window)
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	s.server.tools["n:"+key].expires = time.Now().Add(window)
	return total, left, err
}

type unfenced struct{ *Store }

func (s unfenced) Lock(ctx context.Context, key, owner string, ttl time.Duration) (int64, error) {
	fence, err := s.Store.Lock(ctx, key, owner, ttl)
	return min(fence, 1), err
}

// careless takes a lock back from anybody.
type careless struct{ *Store }

func (s careless) Unlock(ctx context.Context, key, _ string) error {
	s.server.mu.Lock()
	owner := s.server.tools["l:"+key].owner
	s.server.mu.Unlock()
	return s.Store.Unlock(ctx, key, owner)
}

func TestTheSuiteFindsPlantedFaults(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		open  func(*Store) cache.Store
		finds []string
	}{
		"none":           {func(s *Store) cache.Store { return s }, nil},
		"overwrites":     {func(s *Store) cache.Store { return overwriting{s} }, []string{"fill needs the lease", "invalidation voids the lease", "an invalidation during a load, by another process"}},
		"ABA":            {func(s *Store) cache.Store { return perProcess{s} }, []string{"an old token stays void", "one claim of many gets the lease"}},
		"optimistic":     {func(s *Store) cache.Store { return optimistic{s} }, []string{"a tag invalidated during a load"}},
		"untagged":       {func(s *Store) cache.Store { return untagged{s} }, []string{"a tag makes its values invalid", "tags over two processes"}},
		"mute":           {func(s *Store) cache.Store { return mute{s} }, []string{"watchers hear of invalidations, in order", "memory follows other processes"}},
		"hasty":          {func(s *Store) cache.Store { return hasty{s} }, []string{"a beat overtakes nothing"}},
		"forgetful":      {func(s *Store) cache.Store { return forgetful{s} }, []string{"a renewed lease lives on", "an abandoned lease is free"}},
		"generous":       {func(s *Store) cache.Store { return generous{s} }, []string{"one lease beside a value"}},
		"unheld":         {func(s *Store) cache.Store { return unheld{s} }, []string{"what is held is neither read nor filled", "several writers hold the same"}},
		"eternal":        {func(s *Store) cache.Store { return eternal{s} }, []string{"a hold ends by itself"}},
		"insistent":      {func(s *Store) cache.Store { return insistent{s} }, []string{"the newer of two own values wins", "an own value brings nothing back", "over a value of unknown version"}},
		"sliding":        {func(s *Store) cache.Store { return sliding{s} }, []string{"a window is not extended"}},
		"unfenced":       {func(s *Store) cache.Store { return unfenced{s} }, []string{"a lock has one owner", "fences grow", "a lock ends by itself"}},
		"careless":       {func(s *Store) cache.Store { return careless{s} }, []string{"a lock has one owner"}},
		"forgotten tags": {func(s *Store) cache.Store { return forgotten{s, new(sync.Map)} }, []string{"an own tag invalidated during the load", "an own tag is held"}},
		"no second look": {func(s *Store) cache.Store { return short{s} }, []string{
			"a tag that came up while loading", "a tag drops exactly the values that named it", "a tag that a load names, invalidated meanwhile",
			"a tag that a refresh names, invalidated meanwhile", "an answer that nothing is there has tags", "an own value instead of one with tags",
			"a unit reads its own changes of what carries a load's tag", "with a hold of a load's tag nobody reads what is older than the commit", "a random walk",
		}},
		"dated":     {func(s *Store) cache.Store { return dated{s} }, []string{"a seq is as new as its claim", "a tag drops exactly the values that named it", "a random walk"}},
		"moving":    {func(s *Store) cache.Store { return moving{s} }, []string{"what is new is not invalid", "a tag drops exactly the values that named it", "a random walk"}},
		"late":      {func(s *Store) cache.Store { return late{s} }, []string{"an own tag invalidated during the load", "a tag that a load names, invalidated meanwhile", "a random walk"}},
		"unseen":    {func(s *Store) cache.Store { return unseen{s} }, []string{"an own tag is held", "with a hold of a load's tag nobody reads what is older than the commit"}},
		"half deaf": {func(s *Store) cache.Store { return halfDeaf{s, new(sync.Map)} }, []string{"memory follows the tags of loads"}},
		"nosy":      {func(s *Store) cache.Store { return nosy{s} }, []string{"reading takes no lease"}},
		"trusting":  {func(s *Store) cache.Store { return trusting{s} }, []string{"reading is as strict as claiming"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found := failing(t, c.open)
			require.Subset(t, found, c.finds)
			if c.finds == nil {
				require.Empty(t, found)
			}
		})
	}
}

// A program that serves free keys from the fake must not grow without end.
func TestEndedRecordsGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(t)
		for i := range 100_000 {
			_, err := s.Acquire(t.Context(), []cache.Claim{{Key: fmt.Sprint(i), Token: "token", TTL: time.Second}})
			require.NoError(t, err)
			<-time.After(time.Millisecond)
		}
		require.Less(t, len(s.server.records), 5000, "1000 of them are alive")
	})
}

// failing runs all cases and returns the names of those that fail.
func failing(t *testing.T, open func(*Store) cache.Store) (names []string) {
	for _, c := range cases() {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			var wg sync.WaitGroup
			wg.Go(func() {
				c.run(&probe{ctx: ctx, store: open(New(t)), fail: func(string, ...any) {
					names = append(names, c.name)
					runtime.Goexit()
				}})
			})
			wg.Wait()
			cancel()
			<-time.After(time.Minute) // loads that a failed case left behind run into their timeout
		})
	}
	return names
}
