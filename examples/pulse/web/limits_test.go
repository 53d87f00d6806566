package web_test

import (
	"fmt"
	"hash/crc32"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/examples/pulse/app"
	"github.com/ashlar-go/ashlar/examples/pulse/web"
	"github.com/ashlar-go/ashlar/httpx"
	"github.com/ashlar-go/ashlar/httpx/httpxtest"
	"github.com/ashlar-go/ashlar/httpx/ratelimit"
	"github.com/ashlar-go/ashlar/httpx/redishttp"
	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/registry"
)

// limited is pulse with its limits on a real Redis.
func limited(t *testing.T) (*world, http.Handler, *testenv.Server) {
	w := newWorld(t)
	server := testenv.RedisServer(t)
	rdb := redis.NewClient(&redis.Options{Addr: server.Addr, ContextTimeoutEnabled: true, DialerRetries: 1})
	t.Cleanup(func() { rdb.Close() })
	store, err := redishttp.NewLimits(rdb, nil)
	require.NoError(t, err)
	l, err := web.NewLimits(w.app, store, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	h := web.New(w.app, web.Options{
		Health: httpx.NewHealth(nil, nil), Limits: l, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
	})
	w.client = httpxtest.NewClient(t, h)
	return w, h, server
}

// denied asks until it is denied. On a busy machine the store may have been too
// slow for some of the calls before, which this process has counted then.
func denied(t *testing.T, atMost int, ask func() *http.Response) *http.Response {
	t.Helper()
	for range atMost + 1 {
		if resp := ask(); resp.StatusCode == http.StatusTooManyRequests {
			return resp
		}
	}
	t.Fatalf("%d more calls were allowed than there may be", atMost+1)
	return nil
}

func TestSignUpsAreLimitedByAddress(t *testing.T) {
	t.Parallel()
	_, h, server := limited(t)
	signUp := func(from string) *http.Response {
		r := httptest.NewRequest(http.MethodPost, "/signup", strings.NewReader(`{"team":"x","slug":"../x","email":"x@x.example"}`)) // counts, though refused
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Forwarded-For", from)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Result()
	}
	from := []string{"2001:db8::1", "2001:db8::ffff:2"} // of one customer
	for i := range 20 {
		require.Equal(t, http.StatusUnprocessableEntity, signUp(from[i%2]).StatusCode)
	}
	resp := denied(t, 20, func() *http.Response { return signUp(from[0]) })
	require.Equal(t, `"signup";q=20;w=3600`, resp.Header.Get("RateLimit-Policy"))
	require.NotEmpty(t, resp.Header.Get("Retry-After"))
	require.Equal(t, http.StatusUnprocessableEntity, signUp("2001:db8:0:1::1").StatusCode)
	require.Equal(t, http.StatusUnprocessableEntity, signUp("198.51.100.7").StatusCode)

	server.Kill() // and it goes on
	passed := 0
	for range 30 {
		if signUp("198.51.100.8").StatusCode != http.StatusTooManyRequests {
			passed++
		}
	}
	require.Equal(t, 20, passed)
}

// guessed is a key like this one, with a right checksum, that nobody has.
func guessed(key string) string {
	body := []byte(key[:strings.LastIndexByte(key, '_')])
	body[len(body)-1] = map[bool]byte{true: '3', false: '4'}[body[len(body)-1] == '4']
	return fmt.Sprintf("%s_%08x", body, crc32.ChecksumIEEE(body))
}

// Who guesses API keys is denied before they are looked up, on the API and on the pages; others are not.
func TestGuessesAreLimitedByAddress(t *testing.T) {
	t.Parallel()
	w, _, server := limited(t)
	var out app.SignUpOut
	w.client.Post("/signup", app.SignUpIn{Team: "x", Slug: "acme", Email: "ops@x.example"}).RequireStatus(http.StatusCreated).JSON(&out)
	guesser, other := w.client.With("X-Forwarded-For", "198.51.100.7"), w.client.With("X-Forwarded-For", "198.51.100.8")
	guess, right := "Bearer "+guessed(out.APIKey), "Bearer "+out.APIKey
	guesser.With("Authorization", guess).Get("/plan").RequireStatus(http.StatusUnauthorized)

	rdb := redis.NewClient(&redis.Options{Addr: server.Addr, ContextTimeoutEnabled: true})
	t.Cleanup(func() { rdb.Close() })
	counts, err := redishttp.NewLimits(rdb, nil)
	require.NoError(t, err)
	address, err := ratelimit.New(counts, "address", []ratelimit.Limit{{Rate: 6000, Per: time.Minute}}, &ratelimit.Options{Timeout: -1})
	require.NoError(t, err)
	for _, c := range []struct{ path, key string }{{"/plan", guess}, {"/plan", right}, {"/team/members", guess}, {"/team/audit", right}} {
		denied(t, 1000, func() *http.Response {
			d, err := address.AllowN(t.Context(), "198.51.100.7", 0)
			require.NoError(t, err)
			_, err = address.AllowN(t.Context(), "198.51.100.7", d.States[0].Remaining) // as if he had guessed as often
			require.NoError(t, err)
			return &http.Response{StatusCode: guesser.With("Authorization", c.key).Get(c.path).Status}
		})
		other.With("Authorization", right).Get(c.path).RequireStatus(http.StatusOK)
	}
	guesser.Get("/status/acme").RequireStatus(http.StatusOK)
}

func TestRequestsAreLimitedByTeam(t *testing.T) {
	t.Parallel()
	w, _, server := limited(t)
	sign := func(slug string) (*httpxtest.Client, string) {
		var out app.SignUpOut
		w.client.Post("/signup", app.SignUpIn{Team: slug, Slug: slug, Email: "ops@" + slug + ".example"}).RequireStatus(http.StatusCreated).JSON(&out)
		return w.client.With("Authorization", "Bearer "+out.APIKey), out.ID
	}
	acme, id := sign("acme")
	globex, _ := sign("globex")
	policy := func(c *httpxtest.Client) string {
		policies := c.Get("/plan").RequireStatus(http.StatusOK).Header.Values("RateLimit-Policy")
		require.Len(t, policies, 2, "of the address and of the team")
		return policies[1]
	}
	// A number of the team's own, before it is asked for the first time: it is remembered for a while.
	require.NoError(t, registry.Setting[int64]{Name: "api.requests_per_minute"}.Set(tenancy.WithID(t.Context(), id), w.app.Registry, 3))
	for range 3 {
		require.Equal(t, `"api";q=3;w=60`, policy(acme))
	}
	denied(t, 3, func() *http.Response { return &http.Response{StatusCode: acme.Get("/plan").Status} })
	acme.Get("/team/members").RequireProblem(http.StatusTooManyRequests, "rate_limited")
	require.Equal(t, `"api";q=600;w=60`, policy(globex), "of the free plan")
	w.client.Get("/plan").RequireStatus(http.StatusUnauthorized)

	server.Kill() // and it goes on
	denied(t, 3, func() *http.Response { return &http.Response{StatusCode: acme.Get("/plan").Status} })
	require.Equal(t, `"api";q=600;w=60`, policy(globex))
}
