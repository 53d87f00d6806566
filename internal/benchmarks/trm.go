package main

import (
	"context"

	trmpgx "github.com/avito-tech/go-transaction-manager/drivers/pgxv5/v2"
	"github.com/avito-tech/go-transaction-manager/trm/v2/manager"
	"github.com/jackc/pgx/v5/pgxpool"
)

// trm is go-transaction-manager: a unit of work whose transaction travels in
// the context, as its documentation shows it.
type trm struct {
	pool *pgxpool.Pool
	m    *manager.Manager
}

func newTRM(pool *pgxpool.Pool) (*trm, error) {
	m, err := manager.New(trmpgx.NewDefaultFactory(pool))
	return &trm{pool: pool, m: m}, err
}

func (t *trm) rmw(ctx context.Context, id int) error {
	return t.m.Do(ctx, func(ctx context.Context) error {
		return rmwStatements(ctx, trmpgx.DefaultCtxGetter.DefaultTrOrDB(ctx, t.pool), id)
	})
}
