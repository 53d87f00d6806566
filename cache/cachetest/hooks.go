package cachetest

import (
	"context"

	"github.com/ashlar-go/ashlar/cache"
)

// Hooks is a [cache.Hooks] whose units of work are those of [Hooks.Do], for tests without a
// database. The zero value is ready for use.
type Hooks struct{}

var _ cache.Hooks = Hooks{}

// unit is one run of Do, which only its goroutine uses.
type unit struct {
	before     []func(context.Context) error
	onCommit   []func(context.Context)
	onRollback []func(context.Context)
	over       bool
}

type unitKey struct{}

// Do runs fn in a unit of work, then the functions bound before its commit, then commit, which
// may be nil, then those bound to the commit. An error of fn or before the commit rolls the
// unit back: those bound to a rollback run, and the error is returned.
func (Hooks) Do(ctx context.Context, fn func(context.Context) error, commit func()) error {
	u := &unit{}
	in := context.WithValue(ctx, unitKey{}, u)
	err := fn(in)
	for len(u.before) > 0 && err == nil {
		hooks := u.before
		u.before = nil
		for _, hook := range hooks {
			if err == nil {
				err = hook(in)
			}
		}
	}
	u.over = true
	hooks := u.onRollback
	if err == nil {
		hooks = u.onCommit
		if commit != nil {
			commit()
		}
	}
	for _, hook := range hooks {
		hook(ctx)
	}
	return err
}

func bind(ctx context.Context, add func(*unit)) bool {
	u, ok := ctx.Value(unitKey{}).(*unit)
	if !ok || u.over {
		return false
	}
	add(u)
	return true
}

// BeforeCommit implements [cache.Hooks].
func (Hooks) BeforeCommit(ctx context.Context, fn func(context.Context) error) bool {
	return bind(ctx, func(u *unit) { u.before = append(u.before, fn) })
}

// OnCommit implements [cache.Hooks].
func (Hooks) OnCommit(ctx context.Context, fn func(context.Context)) bool {
	return bind(ctx, func(u *unit) { u.onCommit = append(u.onCommit, fn) })
}

// OnRollback implements [cache.Hooks].
func (Hooks) OnRollback(ctx context.Context, fn func(context.Context)) bool {
	return bind(ctx, func(u *unit) { u.onRollback = append(u.onRollback, fn) })
}
