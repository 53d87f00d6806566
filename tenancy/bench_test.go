package tenancy_test

import (
	"bytes"
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/tenancy"
)

// BenchmarkRead compares a read through One, without and with a seal, with the bare statement on a table without any
// tenancy. For profiles: go test -bench Read/sealed -cpuprofile cpu.out -run '^$'.
func BenchmarkRead(b *testing.B) {
	pg := testenv.Postgres(b, tenancy.Migrations, schema)
	seal, err := tenancy.NewSeal("bench", bytes.Repeat([]byte("k"), 32))
	require.NoError(b, err)
	require.NoError(b, tenancy.InstallSeal(b.Context(), pg.Owner, seal, &tenancy.SealOptions{Optional: true}))
	_, err = pg.Owner.Exec(b.Context(), `create table bare (id bigint primary key, body text); insert into bare values (1, 'x'); grant select on bare to tenancy_app`)
	require.NoError(b, err)
	ctx := tenancy.WithID(b.Context(), "acme")
	for _, c := range []struct {
		name  string
		seal  *tenancy.Seal
		place func(context.Context, string) (tenancy.Placement, error)
	}{{"plain", nil, nil}, {"sealed", seal, nil}, {"placed", nil, everywhere}} {
		db, err := tenancy.New(pg.App, &tenancy.Options{Seal: c.seal, Place: c.place})
		require.NoError(b, err)
		id, err := tenancy.One[int64](ctx, db, `insert into notes (body) values ('x') returning id`)
		require.NoError(b, err)
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := tenancy.One[string](ctx, db, `select body from notes where id = $1`, id); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("bare", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var body string
			if err := pg.App.QueryRow(ctx, `select body from bare where id = $1`, 1).Scan(&body); err != nil {
				b.Fatal(err)
			}
		}
	})
}
