package httpx_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/httpx"
	"github.com/ashlar-go/ashlar/httpx/httpxtest"
	"github.com/ashlar-go/ashlar/internal/testenv"
)

// answerOf calls h in memory and returns the body.
func answerOf(h http.Handler, r *http.Request) string {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Body.String()
}

// TestNoAnswerCrossesTenants asks as random members of random teams, all through one cache that knows neither.
func TestNoAnswerCrossesTenants(t *testing.T) {
	t.Parallel()
	leaks, hits := crossTenants(t, httpx.PerPrincipal, true)
	require.Zero(t, leaks)
	require.NotZero(t, hits, "nothing was cached: nothing was tried")
	leaks, hits = crossTenants(t, httpx.PerTenant, true)
	require.Zero(t, leaks)
	require.NotZero(t, hits)
	leaks, _ = crossTenants(t, httpx.PerPrincipal, false) // the planted fault: nobody says who asks, and no header shows it
	require.NotZero(t, leaks)
}

func crossTenants(t *testing.T, scope httpx.Scope, known bool) (leaks, hits int64) {
	cache := &httpxtest.Cache{}
	type askerKey struct{}
	read := httpx.Read(func(ctx context.Context, in GetNote) (string, error) {
		return fmt.Sprint(in.ID, " of ", ctx.Value(askerKey{})), nil
	}, &httpx.ReadOptions{Cache: cache, Fresh: time.Hour, Scope: scope})
	mux := stack(route("GET /notes/{id}", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tenant, principal := r.Header.Get("Team"), r.Header.Get("Member")
		asker := tenant
		if scope == httpx.PerPrincipal {
			asker += "/" + principal
		}
		r = r.WithContext(context.WithValue(r.Context(), askerKey{}, asker))
		if !known {
			read.ServeHTTP(w, r)
			return
		}
		httpx.InfoFrom(r.Context()).SetPrincipal(principal)
		httpx.Tenant(func(*http.Request) (string, error) { return tenant, nil }, withTenant)(read).ServeHTTP(w, r)
	})), httpx.DefaultOptions{})
	rounds := testenv.Rounds(2_000, 50_000)
	var leaked atomic.Int64
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			for range rounds {
				id, tenant, principal := strconv.Itoa(rand.IntN(5)), "t"+strconv.Itoa(rand.IntN(8)), "p"+strconv.Itoa(rand.IntN(4))
				r := httptest.NewRequest("GET", "/notes/"+id, nil)
				r.Header.Set("Team", tenant)
				r.Header.Set("Member", principal)
				want := id + " of " + tenant
				if scope == httpx.PerPrincipal {
					want += "/" + principal
				}
				if answerOf(mux, r) != strconv.Quote(want) {
					leaked.Add(1)
				}
			}
		})
	}
	clients.Wait()
	hits = int64(8*rounds - cache.Loads())
	t.Logf("scope %d, asker known %v: %d requests, %d hits, %d answers of somebody else", scope, known, 8*rounds, hits, leaked.Load())
	return leaked.Load(), hits
}

// TestWritersReadTheirOwnWrites writes and reads the same notes from many clients: once a write is answered, nobody reads an older state.
func TestWritersReadTheirOwnWrites(t *testing.T) {
	t.Parallel()
	require.Zero(t, staleReads(t, []string{"note:{id}"}))
	require.NotZero(t, staleReads(t, []string{"another:{id}"}), "the planted fault is not noticed")
}

func staleReads(t *testing.T, tags []string) int64 {
	cache, db := &httpxtest.Cache{}, &httpxtest.DB{}
	var notes [4]atomic.Int64
	type write struct {
		ID int `path:"id" json:"-"`
	}
	mux := http.NewServeMux()
	mux.Handle("GET /notes/{id}", httpx.Read(func(_ context.Context, in GetNote) (int64, error) { return notes[in.ID].Load(), nil },
		&httpx.ReadOptions{Cache: cache, Fresh: time.Hour, Tags: []string{"note:{id}"}}))
	mux.Handle("POST /notes/{id}", httpx.Write(db, func(_ context.Context, in write) (int64, error) { return notes[in.ID].Add(1), nil },
		&httpx.WriteOptions{Cache: cache, Tags: tags}))
	rounds := testenv.Rounds(1_000, 50_000)
	var stale atomic.Int64
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			for range rounds {
				path := "/notes/" + strconv.Itoa(rand.IntN(len(notes)))
				written, _ := strconv.Atoi(answerOf(mux, httptest.NewRequest("POST", path, nil)))
				read, err := strconv.Atoi(answerOf(mux, httptest.NewRequest("GET", path, nil)))
				if err != nil || read < written {
					stale.Add(1)
				}
			}
		})
	}
	clients.Wait()
	t.Logf("tags %v: %d writes, %d of them not seen by the read after", tags, db.Commits(), stale.Load())
	return stale.Load()
}
