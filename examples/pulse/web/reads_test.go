package web_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/cache"
	"github.com/ashlar-go/ashlar/cache/cachetest"
	"github.com/ashlar-go/ashlar/httpx"
	"github.com/ashlar-go/ashlar/httpx/httpxtest"
	"github.com/ashlar-go/ashlar/tenancy"
)

// reads is a read endpoint on a hub, whose function says for whom it ran and how often it had.
type reads struct {
	*testing.T
	hub   *cache.Hub
	store *cachetest.Store
	ran   atomic.Int64
	while func(context.Context) error // in fn
}

func newReads(t *testing.T) *reads {
	r := &reads{T: t, store: cachetest.New(t)}
	var err error
	r.hub, err = cache.New(r.store, &cache.Options{Tenant: tenancy.IDFrom, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	return r
}

func (r *reads) fn(ctx context.Context, _ struct{}) (string, error) {
	id, _ := tenancy.IDFrom(ctx)
	if r.while != nil {
		if err := r.while(ctx); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%s %d", id, r.ran.Add(1)), nil
}

// get asks for the endpoint, as a tenant unless that is empty, and returns body and Cache-Status.
func (r *reads) get(tenant string, opts httpx.ReadOptions) (body, status string) {
	r.Helper()
	opts.Fresh, opts.Tags = time.Hour, []string{"all"}
	var h http.Handler = httpx.Read(r.fn, &opts)
	if tenant != "" {
		h = httpx.Tenant(func(*http.Request) (string, error) { return tenant, nil }, tenancy.WithID)(h)
	}
	answer := httpxtest.NewClient(r.T, h).Get("/").RequireStatus(http.StatusOK)
	return string(answer.Body), answer.Header.Get("Cache-Status")
}

func (r *reads) want(tenant string, opts httpx.ReadOptions, body, status string) {
	r.Helper()
	got, said := r.get(tenant, opts)
	require.Equal(r, body, got)
	require.Contains(r, said, status)
}

func onHub(t *testing.T, test func(r *reads)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { test(newReads(t)) })
}

func TestReadsOfTenantsAreApart(t *testing.T) {
	onHub(t, func(r *reads) {
		for _, scope := range []httpx.Scope{httpx.PerPrincipal, httpx.PerTenant, httpx.Public} {
			opts := httpx.ReadOptions{Cache: r.hub, Scope: scope}
			for _, id := range []string{"acme", "globex"} {
				r.ran.Store(0)
				r.want(id, opts, `"`+id+` 1"`, "fwd=miss; stored")
				r.want(id, opts, `"`+id+` 1"`, "hit")
			}
			require.NoError(r, r.hub.InvalidateTags(tenancy.WithID(r.Context(), "acme"), "all"))
			r.want("acme", opts, `"acme 2"`, "fwd=miss; stored")
			r.want("globex", opts, `"globex 1"`, "hit")
			require.NoError(r, r.hub.InvalidateTags(tenancy.WithID(r.Context(), "globex"), "all"))
			require.NoError(r, r.hub.InvalidateTags(tenancy.WithID(r.Context(), "acme"), "all"))
		}
		r.ran.Store(0)
		h := httpx.Read(r.fn, &httpx.ReadOptions{Cache: r.hub, Fresh: time.Hour})
		httpxtest.NewClient(r.T, h).Get("/").RequireProblem(http.StatusInternalServerError, "internal")
		require.Zero(r, r.ran.Load(), "without a tenant nothing runs")
	})
}

// The shared view of the hub is for data of no tenant. Tenants that are known all the same do not
// meet there: a function can read who it runs for.
func TestReadsOfTheSharedHub(t *testing.T) {
	onHub(t, func(r *reads) {
		opts := httpx.ReadOptions{Cache: r.hub.Shared(), Scope: httpx.Public}
		r.want("", opts, `" 1"`, "fwd=miss; stored")
		r.want("", opts, `" 1"`, "hit")
		r.want("acme", opts, `"acme 2"`, "fwd=miss; stored")
		r.want("globex", opts, `"globex 3"`, "fwd=miss; stored")
		require.NoError(r, r.hub.InvalidateTags(tenancy.WithID(r.Context(), "acme"), "all"))
		r.want("", opts, `" 1"`, "hit")
		require.NoError(r, r.hub.Shared().InvalidateTags(r.Context(), "all"))
		r.want("", opts, `" 4"`, "fwd=miss; stored")
	})
}

// While the store is down reads are answered without it, and say so.
func TestReadsWhileTheStoreIsDown(t *testing.T) {
	onHub(t, func(r *reads) {
		opts := httpx.ReadOptions{Cache: r.hub}
		r.want("acme", opts, `"acme 1"`, "fwd=miss; stored")
		r.store.Down(true)
		for i := range 10 {
			r.want("acme", opts, fmt.Sprintf(`"acme %d"`, i+2), "fwd=bypass")
		}
		r.store.Down(false)
		<-time.After(5 * time.Second)
		r.want("acme", opts, `"acme 1"`, "hit")
	})
}

// What an invalidation overtook, or the store refused, is answered, and not called stored.
func TestReadsThatAreNotStored(t *testing.T) {
	onHub(t, func(r *reads) {
		opts := httpx.ReadOptions{Cache: r.hub}
		r.while = func(ctx context.Context) error { return r.hub.InvalidateTags(ctx, "all") }
		r.want("acme", opts, `"acme 1"`, "fwd=miss; stored=?0")
		r.while = func(context.Context) error { r.store.Down(true); return nil }
		r.want("acme", opts, `"acme 2"`, "fwd=miss; stored=?0")
		r.store.Down(false)
		r.while = nil
		<-time.After(5 * time.Second) // the lease has ended
		r.want("acme", opts, `"acme 3"`, "fwd=miss; stored")
		r.want("acme", opts, `"acme 3"`, "hit")
	})
}
