package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/record"
)

// bulkRows is how many rows a bulk write has.
const bulkRows = 20_000

// item is a row of bench.items.
type item struct {
	record.Base
	Name   string
	Amount int64
}

// benchBulk compares the rate of record's InsertAll, which reads back id, version and times of each row, under row-level
// security, with COPY into the same table without it, and with what COPY needs to get past it: a temporary table.
func benchBulk(ctx context.Context, l *lab, db *tenancy.DB, pool *pgxpool.Pool) error {
	items := record.Define[item]("bench.items", nil)
	rate := func(write func(ctx context.Context, list []item) error) measure {
		return func(ctx context.Context) (float64, error) {
			if _, err := pool.Exec(ctx, `select bench.empty_items()`); err != nil {
				return 0, err
			}
			list := make([]item, bulkRows)
			for i := range list {
				list[i].Name, list[i].Amount = fmt.Sprintf("item %d of the bulk write", i), int64(i)
			}
			start := time.Now()
			err := write(ctx, list)
			return bulkRows / time.Since(start).Seconds(), err
		}
	}
	ours := rate(func(ctx context.Context, list []item) error { return items.InsertAll(ctx, db, list) })
	if err := l.ratio(ctx, "tenancy.bulk_rate_vs_copy", ours, rate(func(ctx context.Context, list []item) error {
		_, err := pool.CopyFrom(ctx, pgx.Identifier{"bench", "items_bare"}, itemColumns, itemRows(list))
		return err
	})); err != nil {
		return err
	}
	return l.ratio(ctx, "tenancy.bulk_rate_vs_copy_through_temp", ours, rate(func(ctx context.Context, list []item) error {
		return copyThroughTemp(ctx, pool, list)
	}))
}

var itemColumns = []string{"tenant_id", "id", "version", "created_at", "updated_at", "name", "amount"}

func itemRows(list []item) pgx.CopyFromSource {
	now := time.Now()
	return pgx.CopyFromSlice(len(list), func(i int) ([]any, error) {
		id := fmt.Sprintf("%08x-0000-7000-8000-%012x", now.Unix(), i)
		return []any{"bench", id, int64(1), now, now, list[i].Name, list[i].Amount}, nil
	})
}

// copyThroughTemp is how COPY gets into a table that refuses it.
func copyThroughTemp(ctx context.Context, pool *pgxpool.Pool, list []item) error {
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `select set_config('tenancy.tenant', $1, true)`, "bench"); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `create temp table incoming (like bench.items_bare) on commit drop`); err != nil {
			return err
		}
		if _, err := tx.CopyFrom(ctx, pgx.Identifier{"incoming"}, itemColumns, itemRows(list)); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `insert into bench.items select * from incoming`)
		return err
	})
}
