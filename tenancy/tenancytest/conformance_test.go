package tenancytest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/tenancytest"
)

func TestConformanceInMemory(t *testing.T) {
	t.Parallel()
	tenancytest.Run(t, func(t *testing.T) *tenancy.DB {
		kit := tenancytest.New(t)
		kit.Migrate()
		return kit.DB()
	}, tenancytest.Features{Bubble: true})
}

func TestConformanceOfTheKitOnPostgreSQL(t *testing.T) {
	t.Parallel()
	tenancytest.Run(t, func(t *testing.T) *tenancy.DB {
		return tenancytest.Postgres(t, tenancytest.Migrations).DB()
	}, tenancytest.Features{})
}

func TestConformanceSealedThroughPgBouncer(t *testing.T) {
	t.Parallel()
	tenancytest.Run(t, func(t *testing.T) *tenancy.DB {
		direct := testenv.Postgres(t, tenancy.Migrations, tenancytest.Migrations)
		seal, err := tenancy.NewSeal("k1", []byte("a secret that is long enough for a seal"))
		require.NoError(t, err)
		require.NoError(t, tenancy.InstallSeal(t.Context(), direct.Owner, seal, nil))
		pg := testenv.PgBouncer(t, direct)
		db, err := tenancy.New(pg.App, &tenancy.Options{System: pg.System, Seal: seal})
		require.NoError(t, err)
		return db
	}, tenancytest.Features{})
}

func TestConformanceOnPostgreSQL(t *testing.T) {
	t.Parallel()
	tenancytest.Run(t, func(t *testing.T) *tenancy.DB {
		pg := testenv.Postgres(t, tenancy.Migrations, tenancytest.Migrations)
		db, err := tenancy.New(pg.App, &tenancy.Options{System: pg.System})
		require.NoError(t, err)
		return db
	}, tenancytest.Features{})
}
