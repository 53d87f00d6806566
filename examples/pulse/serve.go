package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/ashlar-go/ashlar/analytics"
	"github.com/ashlar-go/ashlar/analytics/analyticstest"
	"github.com/ashlar-go/ashlar/analytics/clickhouseanalytics"
	"github.com/ashlar-go/ashlar/billing/billingtest"
	"github.com/ashlar-go/ashlar/billing/pgbilling"
	"github.com/ashlar-go/ashlar/cache"
	"github.com/ashlar-go/ashlar/cache/cacheui"
	"github.com/ashlar-go/ashlar/cache/rediscache"
	"github.com/ashlar-go/ashlar/examples/pulse/app"
	"github.com/ashlar-go/ashlar/examples/pulse/probe"
	"github.com/ashlar-go/ashlar/examples/pulse/web"
	"github.com/ashlar-go/ashlar/httpx"
	"github.com/ashlar-go/ashlar/httpx/redishttp"
	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/jobsui"
	"github.com/ashlar-go/ashlar/jobs/outboxjobs"
	"github.com/ashlar-go/ashlar/jobs/promjobs"
	"github.com/ashlar-go/ashlar/jobs/redisjobs"
	"github.com/ashlar-go/ashlar/notify/devinbox"
	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/guard"
	"github.com/ashlar-go/ashlar/tenancy/outbox"
)

// How long work in flight may take to end after Ctrl-C: a check that takes
// longer than drain is given back and run again after the next start. Giving
// back takes time, too, so the workers as a whole have grace.
const (
	drain = time.Second
	grace = 2 * time.Second
)

// pulse is a wired program.
type pulse struct {
	app      *app.App
	inbox    *devinbox.Inbox
	provider *billingtest.Provider
	metrics  *prometheus.Registry // of the queue
	limits   *web.Limits
	health   *httpx.Health
	workers  []func(context.Context) error
	close    []func()
}

// serve runs the role until ctx ends.
func serve(ctx context.Context, c *config, s *servers, out, errs io.Writer) error {
	log := slog.New(tenancy.LogHandler(slog.NewTextHandler(errs, nil)))
	if c.role == "all" && s.ownerURL != "" {
		if err := migrateUp(ctx, s, errs); err != nil {
			return err
		}
	}
	p := &pulse{}
	defer func() {
		for _, f := range slices.Backward(p.close) {
			f()
		}
	}()
	// Before anything is connected, so that a taken port is known at once.
	var listener net.Listener
	if c.runs("api") {
		var err error
		if listener, err = net.Listen("tcp", c.listen); err != nil {
			return fmt.Errorf("-listen %s: the port cannot be opened (is pulse running already?): %w", c.listen, rootCause(err))
		}
	}
	if err := p.wire(ctx, c, s, log); err != nil {
		if listener != nil {
			err = errors.Join(err, listener.Close())
		}
		return err
	}
	if listener == nil {
		log.Info("pulse runs", "role", c.role)
		return p.work(ctx)
	}
	o := web.Options{Health: p.health, Checkout: p.provider, Limits: p.limits, Demo: c.demo, Logger: log, TrustedProxies: c.proxies}
	ready := fmt.Sprintf("pulse is at %s (Ctrl-C ends it)", c.base)
	if c.local() {
		o.Inbox = p.inbox
		ready = fmt.Sprintf("pulse is at %s and its dev inbox at %s/inbox/ (Ctrl-C ends it)", c.base, c.base)
	}
	if c.local() || c.opsPassword != "" {
		if err := p.operate(c, &o); err != nil {
			return errors.Join(err, listener.Close())
		}
	}
	handler := web.New(p.app, o)
	return httpx.Run(ctx, c.listen, handler, &httpx.RunOptions{
		Listener: listener, Health: p.health, Drain: -1, Grace: grace, Workers: p.workers, Logger: log,
		Ready: func(net.Addr) {
			fmt.Fprintln(out, ready)
		},
	})
}

// operate adds the pages for operators.
func (p *pulse) operate(c *config, o *web.Options) error {
	queues, err := jobsui.New(map[string]*jobs.Queue{"pulse": p.app.Queue}, &jobsui.Options{Logger: o.Logger})
	if err != nil {
		return err
	}
	caches, err := cacheui.New(p.app.Hub, &cacheui.Options{Title: "pulse " + c.role})
	if err != nil {
		return err
	}
	o.Jobs, o.Cache = web.Operators(c.opsPassword, queues), web.Operators(c.opsPassword, caches)
	o.Metrics = web.Operators(c.opsPassword, promhttp.HandlerFor(p.metrics, promhttp.HandlerOpts{}))
	return nil
}

// work runs the roles that have no server.
func (p *pulse) work(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, w := range p.workers {
		g.Go(func() error { return w(ctx) })
	}
	return g.Wait()
}

func rootCause(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

// wire makes the blocks and puts them together; this is all the glue there is.
func (p *pulse) wire(ctx context.Context, c *config, s *servers, log *slog.Logger) error {
	appPool, err := connectPostgres(ctx, "APP_DATABASE_URL", s.appURL)
	if err != nil {
		return err
	}
	p.close = append(p.close, appPool.Close)
	systemPool, err := connectPostgres(ctx, "SYSTEM_DATABASE_URL", s.systemURL)
	if err != nil {
		return err
	}
	p.close = append(p.close, systemPool.Close)
	rdb, err := connectRedis(ctx, s.redisURL)
	if err != nil {
		return err
	}
	p.close = append(p.close, func() { rdb.Close() })
	p.health = httpx.NewHealth(map[string]func(context.Context) error{
		"postgres": appPool.Ping,
		"tenants": func(ctx context.Context) error {
			return guard.Check(ctx, appPool, &guard.Options{Allow: app.Exceptions(), Seal: s.seals.tenants})
		},
		"redis": func(ctx context.Context) error { return rdb.Ping(ctx).Err() },
	}, nil)

	db, err := tenancy.New(appPool, &tenancy.Options{System: systemPool, Seal: s.seals.tenants, Logger: log})
	if err != nil {
		return err
	}
	if err := db.Check(ctx); err != nil {
		return err // a role that sees every team must not serve
	}
	plans, err := pgbilling.New(systemPool, &pgbilling.Options{Tx: tenancy.Pgx})
	if err != nil {
		return err
	}
	store, err := rediscache.New(rdb, nil)
	if err != nil {
		return err
	}
	hub, err := cache.New(store, &cache.Options{Tenant: tenancy.IDFrom, Logger: log})
	if err != nil {
		return err
	}
	queue, err := p.queue(c, rdb, db, log)
	if err != nil {
		return err
	}
	stats, err := p.analytics(ctx, c, s, log)
	if err != nil {
		return err
	}
	p.workers = append(p.workers, hub.Run, stats.Run)
	p.provider = billingtest.NewProvider(&billingtest.ProviderOptions{URL: c.base})
	if p.inbox, err = devinbox.New(&devinbox.Options{Dir: filepath.Join(c.data, "inbox")}); err != nil {
		return err
	}
	p.app, err = app.New(app.Deps{
		DB: db, Queue: queue, Hub: hub, Provider: p.provider, Plans: plans, Mail: p.inbox, SMS: p.inbox, Analytics: stats,
		Prober: probe.New(&probe.Options{AllowPrivate: c.allowPrivate}), Logger: log, Base: c.base, Cursors: s.seals.cursors,
	})
	if err != nil {
		return err
	}
	p.provider.Connect(p.app.Billing.Webhook())
	counts, err := redishttp.NewLimits(rdb, nil)
	if err != nil {
		return err
	}
	if p.limits, err = web.NewLimits(p.app, counts, log); err != nil {
		return err
	}
	if c.runs("scheduler") {
		_, err = queue.Enqueue(ctx, app.Reconcile{}, nil)
	}
	return err
}

// queue makes the queue, and the relay that fills it from the outbox where the
// role asks for it.
func (p *pulse) queue(c *config, rdb *redis.Client, db *tenancy.DB, log *slog.Logger) (*jobs.Queue, error) {
	driver, err := redisjobs.New(rdb, nil)
	if err != nil {
		return nil, err
	}
	concurrency := 16
	if !c.runs("worker") {
		concurrency = -1 // schedules only
	}
	p.metrics = prometheus.NewRegistry()
	observer, err := promjobs.New(p.metrics, driver, &promjobs.Options{Queue: "pulse"})
	if err != nil {
		return nil, err
	}
	queue, err := jobs.New(driver, &jobs.Options{
		Tenant: tenancy.IDFrom, WithTenant: tenancy.WithID, Concurrency: concurrency,
		Timeout: time.Minute, MaxAttempts: 10, DrainTimeout: drain, Logger: log, Observer: observer,
	})
	if err != nil {
		return nil, err
	}
	if c.runs("worker") || c.runs("scheduler") {
		p.workers = append(p.workers, queue.Run)
	}
	if !c.runs("scheduler") {
		return queue, nil
	}
	sink, err := outboxjobs.NewSink(driver, &outboxjobs.Options{Map: app.Follow})
	if err != nil {
		return nil, err
	}
	relay, err := outbox.New(db, sink, nil)
	if err != nil {
		return nil, err
	}
	p.workers = append(p.workers, relay.Run)
	return queue, nil
}

// analytics keeps the events of checks in ClickHouse, or in memory where there
// is none.
func (p *pulse) analytics(ctx context.Context, c *config, s *servers, log *slog.Logger) (*analytics.Analytics, error) {
	var store analytics.Store = analyticstest.NewStore()
	if s.clickhouseURL != "memory" {
		conn, err := connectClickHouse(ctx, s.clickhouseURL)
		if err != nil {
			return nil, err
		}
		p.close = append(p.close, func() { conn.Close() })
		ch, err := clickhouseanalytics.New(conn, nil)
		if err != nil {
			return nil, err
		}
		if err := ch.Migrate(ctx); err != nil {
			return nil, sentence("CLICKHOUSE_URL", err)
		}
		store = ch
	}
	// One log per role: it belongs to one process at a time.
	a, err := analytics.New(store, &analytics.Options{
		Dir: filepath.Join(c.data, "wal-"+c.role), Tenant: tenancy.IDFrom, DrainTimeout: drain, Logger: log,
	})
	if err != nil {
		return nil, err
	}
	p.close = append(p.close, func() {
		if err := a.Close(); err != nil {
			log.Error("close the event log", "error", err)
		}
	})
	return a, nil
}
