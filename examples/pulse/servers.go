package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/ashlar-go/ashlar/internal/devstack"
	"github.com/ashlar-go/ashlar/internal/devstack/memredis"
)

// servers are the URLs of what pulse works with, and what was started for it.
type servers struct {
	ownerURL, appURL, systemURL string
	redisURL                    string
	clickhouseURL               string // "memory": none
	seals                       seals

	stop []func() error
}

// startServers takes what the environment names and, for the role all, starts
// the rest. A copy of this program in production has no use for this file.
func startServers(ctx context.Context, c *config, progress io.Writer) (_ *servers, err error) {
	s := &servers{ownerURL: c.databaseURL, appURL: c.appURL, systemURL: c.systemURL, redisURL: c.redisURL, clickhouseURL: c.clickhouseURL, seals: c.seals}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	// The first start on a machine may fetch servers.
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	if c.role == "all" {
		if err := os.MkdirAll(c.data, 0o755); err != nil {
			return s, fmt.Errorf("-data: %w", err)
		}
	}
	if s.appURL == "" {
		if err := s.postgres(ctx, c, progress); err != nil {
			return s, err
		}
	}
	if s.redisURL == "" && c.role == "all" {
		if err := s.redis(ctx, c, progress); err != nil {
			return s, err
		}
	}
	if s.clickhouseURL == "" && c.role == "all" {
		return s, s.clickhouse(ctx, c, progress)
	}
	return s, nil
}

func (s *servers) postgres(ctx context.Context, c *config, progress io.Writer) error {
	o := &devstack.PostgresOptions{URL: c.databaseURL, Database: "pulse", Dir: filepath.Join(c.data, "postgres"), Progress: progress}
	pg, err := devstack.Postgres(ctx, o)
	if err != nil {
		return sentence("PostgreSQL", err)
	}
	s.stop = append(s.stop, pg.Close)
	s.ownerURL, s.appURL, s.systemURL = pg.OwnerURL, pg.AppURL, pg.SystemURL
	if s.seals.tenants == nil && c.databaseURL == "" {
		s.seals, err = ownSeals(c.data)
	}
	return err
}

func (s *servers) redis(ctx context.Context, c *config, progress io.Writer) error {
	rd, err := devstack.Redis(ctx, &devstack.RedisOptions{Dir: filepath.Join(c.data, "redis")})
	if errors.Is(err, devstack.ErrNotFound) {
		fmt.Fprintln(progress, "pulse: no redis-server on this machine: jobs are kept in memory and LOST AT EXIT")
		// Ends with the program: it has nothing to save.
		s.redisURL, err = memredis.Start(context.WithoutCancel(ctx))
		return err
	}
	if err != nil {
		return sentence("Redis", err)
	}
	s.stop = append(s.stop, rd.Close)
	s.redisURL = rd.URL
	return nil
}

func (s *servers) clickhouse(ctx context.Context, c *config, progress io.Writer) error {
	ch, err := devstack.ClickHouse(ctx, &devstack.ClickHouseOptions{Dir: filepath.Join(c.data, "clickhouse"), Progress: progress})
	if err != nil {
		if ctx.Err() != nil {
			return err
		}
		fmt.Fprintf(progress, "pulse: no ClickHouse (%v): analytics are kept in memory and LOST AT EXIT\n", err)
		s.clickhouseURL = "memory"
		return nil
	}
	s.stop = append(s.stop, ch.Close)
	s.clickhouseURL = ch.URL
	return nil
}

// close stops what was started, the last one first.
func (s *servers) close() error {
	var err error
	for _, stop := range slices.Backward(s.stop) {
		err = errors.Join(err, stop())
	}
	s.stop = nil
	return err
}
