package tenancy

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	defaultMaxConns = 50
	maxIdlePools    = 64              // pools that are open; those in use may be more
	poolIdleTime    = 5 * time.Minute // an unused pool is closed when another one is used after that time
)

// pools are the pools of Options.Databases: opened with their first unit, closed when they are the least recently used of
// too many or were not used for long, and under one ceiling of connections.
type pools struct {
	config func(ctx context.Context, name string, system bool) (*pgxpool.Config, error)
	seal   *Seal
	gate   *gate // nil means no ceiling

	mu      sync.Mutex
	open    map[poolKey]*list.Element // of *placedPool
	recent  *list.List                // most recently used first
	closed  bool
	closing sync.WaitGroup
}

type poolKey struct {
	database string
	system   bool
}

// placedPool is the pool of one database and role.
type placedPool struct {
	key   poolKey
	ready chan struct{} // closed when pool or err is there
	pool  *pgxpool.Pool
	err   error
	turns chan struct{} // one per connection that the pool may have

	users int       // units that have or want a connection; guarded by pools.mu, as is used
	used  time.Time // last
}

func newPools(o *Options) *pools {
	if o.Databases == nil {
		return nil
	}
	p := &pools{config: o.Databases, seal: o.Seal, open: map[poolKey]*list.Element{}, recent: list.New()}
	switch {
	case o.MaxConns == 0:
		p.gate = newGate(defaultMaxConns, p.reclaim)
	case o.MaxConns > 0:
		p.gate = newGate(o.MaxConns, p.reclaim)
	}
	return p
}

// acquire waits for a connection: first for one of the database's own, so that a busy database does not keep the others
// waiting, then for one of all. Whoever has both gets a connection without waiting for another unit.
func (p *pools) acquire(ctx context.Context, key poolKey) (*pgSession, error) {
	if p == nil {
		return nil, errNoDatabases
	}
	e, err := p.enter(ctx, key)
	if err != nil {
		return nil, err
	}
	if err := wait(ctx, e.turns); err != nil {
		p.leave(e)
		return nil, err
	}
	release := func() {
		<-e.turns
		p.leave(e)
	}
	if p.gate != nil {
		if err := wait(ctx, p.gate.units); err != nil {
			release()
			return nil, err
		}
		release = func() {
			<-p.gate.units
			<-e.turns
			p.leave(e)
		}
	}
	conn, err := e.pool.Acquire(withWaiter(ctx))
	if err != nil {
		release()
		return nil, err
	}
	return &pgSession{pool: e.pool, conn: conn, seal: p.seal, released: release}, nil
}

// wait takes a place in a semaphore.
func wait(ctx context.Context, places chan<- struct{}) error {
	select {
	case places <- struct{}{}:
		return nil
	default:
	}
	select {
	case places <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// enter returns the pool, opened by the first one who asks, and keeps it open until leave.
func (p *pools) enter(ctx context.Context, key poolKey) (*placedPool, error) {
	for {
		e, first, err := p.find(key)
		if err != nil {
			return nil, err
		}
		if first {
			p.startFor(ctx, e)
		}
		select {
		case <-e.ready:
		case <-ctx.Done():
			p.leave(e)
			return nil, ctx.Err()
		}
		switch {
		case e.err == nil:
			return e, nil
		case first || !errors.Is(e.err, context.Canceled) && !errors.Is(e.err, context.DeadlineExceeded):
			return nil, e.err
		case ctx.Err() != nil:
			return nil, ctx.Err()
		} // the first one gave up, which is nothing to us
	}
}

func (p *pools) find(key poolKey) (e *placedPool, first bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, false, errors.New("the DB is closed")
	}
	at, ok := p.open[key]
	if ok {
		p.recent.MoveToFront(at)
	} else {
		at = p.recent.PushFront(&placedPool{key: key, ready: make(chan struct{})})
		p.open[key] = at
	}
	e = at.Value.(*placedPool)
	e.users++
	e.used = time.Now()
	p.sweep()
	return e, !ok, nil
}

// startFor opens the pool for all who wait for it, whatever the caller's function does.
func (p *pools) startFor(ctx context.Context, e *placedPool) {
	e.err = errors.New("Options.Databases panicked")
	defer func() {
		if e.err != nil {
			p.forget(e)
		}
		close(e.ready)
	}()
	e.pool, e.err = p.start(ctx, e)
}

// start opens the pool, which connects later.
func (p *pools) start(ctx context.Context, e *placedPool) (*pgxpool.Pool, error) {
	cfg, err := p.config(ctx, e.key.database, e.key.system)
	if err != nil {
		return nil, fmt.Errorf("configure the pool of database %q: %w", e.key.database, err)
	}
	if cfg == nil {
		return nil, fmt.Errorf("configure the pool of database %q: there is none", e.key.database)
	}
	cfg = cfg.Copy() // the caller's stays as it is
	if err := p.seal.check(cfg.ConnConfig); err != nil {
		return nil, err
	}
	cfg.MinConns, cfg.MinIdleConns = 0, 0 // a connection that nobody asked for would count too
	if p.gate != nil {
		cfg.MaxConns = min(cfg.MaxConns, int32(cap(p.gate.conns)))
		p.gate.guard(cfg)
	}
	e.turns = make(chan struct{}, cfg.MaxConns)
	return pgxpool.NewWithConfig(ctx, cfg)
}

func (p *pools) leave(e *placedPool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e.users--
	e.used = time.Now()
}

// forget drops a pool that could not be opened.
func (p *pools) forget(e *placedPool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if at := p.open[e.key]; at != nil && at.Value == any(e) {
		p.recent.Remove(at)
		delete(p.open, e.key)
	}
}

// sweep closes pools that nobody uses: the least recently used ones of too many, and those that have been idle for long.
// The caller holds mu.
func (p *pools) sweep() {
	for at := p.recent.Back(); at != nil; {
		e := at.Value.(*placedPool)
		at = at.Prev()
		if p.recent.Len() <= maxIdlePools && time.Since(e.used) < poolIdleTime {
			return // the ones before it were used later
		}
		if e.users > 0 {
			continue
		}
		p.recent.Remove(p.open[e.key])
		delete(p.open, e.key)
		p.closing.Go(e.pool.Close)
	}
}

// reclaim closes one idle connection, of the least recently used pool that has one, and tells whether there was one.
func (p *pools) reclaim() bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for _, pool := range p.leastRecent() {
		if pool.Stat().IdleConns() == 0 {
			continue
		}
		idle := pool.AcquireAllIdle(ctx)
		for i, conn := range idle {
			if i > 0 {
				conn.Release()
			}
		}
		if len(idle) > 0 {
			_ = idle[0].Conn().Close(ctx) // whatever it says, the connection is gone
			idle[0].Release()
			return true
		}
	}
	return false
}

func (p *pools) leastRecent() (list []*pgxpool.Pool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for at := p.recent.Back(); at != nil; at = at.Prev() {
		select {
		case <-at.Value.(*placedPool).ready:
			list = append(list, at.Value.(*placedPool).pool)
		default: // being opened
		}
	}
	return list
}

// close closes all pools and waits for their units.
func (p *pools) close() {
	p.mu.Lock()
	p.closed = true
	all := p.recent
	p.recent, p.open = list.New(), map[poolKey]*list.Element{}
	p.mu.Unlock()
	for at := all.Front(); at != nil; at = at.Next() {
		p.closing.Go(func() {
			e := at.Value.(*placedPool)
			if <-e.ready; e.err == nil {
				e.pool.Close()
			}
		})
	}
	p.closing.Wait()
}

// Close closes the pools that db opened for Options.Databases, waiting for their units; later units there fail. The pools
// given to New stay open: whoever made them closes them. Without Options.Databases it does nothing. It can be repeated.
func (db *DB) Close() {
	if d, ok := db.core.driver.(*pgDriver); ok && d.pools != nil {
		d.pools.close()
	}
}
