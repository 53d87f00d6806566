package stripebilling_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/stripe/stripe-go/v76"

	"github.com/ashlar-go/ashlar/billing"
	"github.com/ashlar-go/ashlar/billing/billingtest"
	"github.com/ashlar-go/ashlar/billing/stripebilling"
	"github.com/ashlar-go/ashlar/billing/stripetest"
)

func TestNewValidates(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"", "pk_test_x", "whsec_x", "sk_test_x\n", " sk_test_x"} {
		_, err := stripebilling.New(key, nil)
		require.ErrorContains(t, err, "not a secret or restricted key")
		if key != "" {
			require.NotContains(t, err.Error(), key)
		}
	}
	for want, o := range map[string]stripebilling.Options{
		"WebhookTolerance": {WebhookTolerance: -1}, "WebhookSecrets": {WebhookSecrets: []string{"whsec_a", ""}}, "URL": {URL: "localhost"},
	} {
		_, err := stripebilling.New("sk_test_x", &o)
		require.ErrorContains(t, err, want)
	}
	for key, name := range map[string]string{"sk_test_x": "stripe_test", "rk_test_x": "stripe_test", "sk_live_x": "stripe", "rk_live_x": "stripe"} {
		p, err := stripebilling.New(key, nil)
		require.NoError(t, err)
		require.Equal(t, name, p.Name())
		require.Equal(t, "stripebilling("+name+")", fmt.Sprintf("%v", p))
		require.NotContains(t, fmt.Sprintf("%+v %#v", p, p), key)
	}
}

// customer runs one call and says how often it reached the server.
func customer(t *testing.T, p *stripebilling.Provider, s *stripetest.Server) (calls int, err error) {
	t.Helper()
	before := len(s.Requests())
	_, err = p.Customer(t.Context(), billing.CustomerSpec{Tenant: "acme", Key: "key-1"})
	return len(s.Requests()) - before, err
}

// respond answers the first n requests with a status and the rest normally, and collects idempotency keys.
func respond(s *stripetest.Server, n, status int, body string, header ...string) (keys func() map[string]int) {
	var mu sync.Mutex
	seen := map[string]int{}
	s.Intercept(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			seen[r.Header.Get("Idempotency-Key")]++
			n--
			fails := n >= 0
			mu.Unlock()
			if !fails {
				next.ServeHTTP(w, r)
				return
			}
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		})
	})
	return func() map[string]int {
		mu.Lock()
		defer mu.Unlock()
		return seen
	}
}

func stripeError(typ, code string) string {
	return fmt.Sprintf(`{"error":{"type":%q,"code":%q,"message":"secret sk_test_123, ann@example.com, 4242424242424242"}}`, typ, code)
}

func TestErrors(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status    int
		body      string
		header    []string
		kind      error
		retryable bool
		detail    string
	}{
		"bad key":         {401, stripeError("invalid_request_error", ""), nil, billing.ErrAuth, false, "HTTP 401"},
		"no permission":   {403, stripeError("invalid_request_error", ""), nil, billing.ErrAuth, false, "HTTP 403"},
		"bad parameter":   {400, stripeError("invalid_request_error", "parameter_unknown"), nil, billing.ErrInvalid, false, "code parameter_unknown"},
		"missing":         {404, stripeError("invalid_request_error", "resource_missing"), nil, billing.ErrNotFound, false, ""},
		"other request":   {400, stripeError("idempotency_error", ""), nil, billing.ErrConflict, false, ""},
		"key in use":      {409, stripeError("idempotency_error", "idempotency_key_in_use"), nil, billing.ErrConflict, true, ""},
		"card":            {402, stripeError("card_error", "card_declined"), nil, billing.ErrInvalid, false, "code card_declined"},
		"too many":        {429, stripeError("invalid_request_error", "rate_limit"), nil, billing.ErrRateLimited, true, ""},
		"broken":          {500, stripeError("api_error", ""), nil, billing.ErrUnavailable, true, ""},
		"broken for ever": {500, stripeError("api_error", ""), []string{"Stripe-Should-Retry", "false"}, billing.ErrUnavailable, false, ""},
		"a proxy's page":  {502, "<html>ann@example.com</html>", nil, billing.ErrUnavailable, true, "not Stripe's"},
		"empty":           {200, "", nil, billing.ErrUnavailable, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, s := setup(t, nil, stripebilling.Options{Retries: -1})
			respond(s, 1, c.status, c.body, c.header...)
			calls, err := customer(t, p, s)
			require.Equal(t, 1, calls)
			require.ErrorIs(t, err, c.kind)
			typed, ok := errors.AsType[*billing.Error](err)
			require.True(t, ok)
			require.Equal(t, c.retryable, typed.Retryable)
			require.Contains(t, typed.Detail, c.detail)
			for _, secret := range []string{"sk_test", "ann@", "4242"} {
				require.NotContains(t, err.Error(), secret)
			}
			if strings.HasPrefix(c.body, `{"error"`) {
				_, ok := errors.AsType[*stripe.Error](err)
				require.True(t, ok, "the SDK's error is within reach")
			}
		})
	}
}

// Every repetition carries the caller's key, and a success ends it.
func TestRetryKeepsTheIdempotencyKey(t *testing.T) {
	t.Parallel()
	p, s := setup(t, nil, stripebilling.Options{})
	keys := respond(s, 2, 429, stripeError("invalid_request_error", "rate_limit"), "Retry-After", "0")
	calls, err := customer(t, p, s)
	require.NoError(t, err)
	require.Equal(t, 3, calls)
	require.Equal(t, map[string]int{"key-1": 3}, keys())
}

func TestRetryIsBounded(t *testing.T) {
	t.Parallel()
	p, s := setup(t, nil, stripebilling.Options{Retries: 3})
	respond(s, 100, 503, stripeError("api_error", ""), "Retry-After", "0")
	calls, err := customer(t, p, s)
	require.ErrorIs(t, err, billing.ErrUnavailable)
	require.Equal(t, 4, calls)
}

// Who asks for a minute is not asked again after five seconds.
func TestLongRetryAfterEndsTheCall(t *testing.T) {
	t.Parallel()
	p, s := setup(t, nil, stripebilling.Options{})
	respond(s, 100, 429, stripeError("invalid_request_error", "rate_limit"), "Retry-After", "60")
	calls, err := customer(t, p, s)
	require.ErrorIs(t, err, billing.ErrRateLimited)
	require.Equal(t, 1, calls)
}

func TestPortalRetriesWithOneKey(t *testing.T) {
	t.Parallel()
	p, s := setup(t, nil, stripebilling.Options{})
	id, err := p.Customer(t.Context(), billing.CustomerSpec{Tenant: "acme", Key: "k"})
	require.NoError(t, err)
	keys := respond(s, 2, 503, stripeError("api_error", ""), "Retry-After", "0")
	_, err = p.Portal(t.Context(), billing.PortalSpec{Customer: id})
	require.NoError(t, err)
	require.Len(t, keys(), 1)
	require.NotContains(t, keys(), "")
}

// Stripe did the work and the connection broke before its answer: repeated, there is still one customer.
func TestLostAnswer(t *testing.T) {
	t.Parallel()
	p, s := setup(t, nil, stripebilling.Options{})
	var mu sync.Mutex
	lost := 0
	s.Intercept(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			lost++
			drop := lost <= 2
			mu.Unlock()
			if drop {
				next.ServeHTTP(nowhere{}, r)
				panic(http.ErrAbortHandler)
			}
			next.ServeHTTP(w, r)
		})
	})
	id, err := p.Customer(t.Context(), billing.CustomerSpec{Tenant: "acme", Key: "k"})
	require.NoError(t, err)
	again, err := p.Customer(t.Context(), billing.CustomerSpec{Tenant: "acme", Key: "k"})
	require.NoError(t, err)
	require.Equal(t, id, again)
	require.Equal(t, 4, lost)
}

// nowhere swallows a response.
type nowhere struct{}

func (nowhere) Header() http.Header         { return http.Header{} }
func (nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (nowhere) WriteHeader(int)             {}

// roundTrip answers requests in memory.
type roundTrip func(*http.Request) *http.Response

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r), nil }

// The SDK's own retry sleeps through an ended context; ours does not.
func TestContextEndsTheWaiting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		requests := 0
		p, err := stripebilling.New("sk_test_x", &stripebilling.Options{HTTPClient: &http.Client{Transport: roundTrip(func(r *http.Request) *http.Response {
			requests++
			return &http.Response{
				StatusCode: 503, Header: http.Header{"Retry-After": {"5"}}, Request: r,
				Body: io.NopCloser(strings.NewReader(stripeError("api_error", ""))),
			}
		})}})
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		start := time.Now()
		_, err = p.Customer(ctx, billing.CustomerSpec{Tenant: "acme", Key: "k"})
		require.ErrorIs(t, err, billing.ErrUnavailable)
		require.Equal(t, 2*time.Second, time.Since(start))
		require.Equal(t, 1, requests)
	})
}

func TestNobodyListens(t *testing.T) {
	t.Parallel()
	s := stripetest.New(t, nil)
	s.Close()
	p, err := stripebilling.New(s.Key(), &stripebilling.Options{URL: s.URL(), Retries: -1})
	require.NoError(t, err)
	_, err = p.Subscription(t.Context(), "sub_1")
	require.ErrorIs(t, err, billing.ErrUnavailable)
	typed, _ := errors.AsType[*billing.Error](err)
	require.True(t, typed.Retryable)
	require.Contains(t, err.Error(), "connect")
	require.NotContains(t, fmt.Sprint(err), s.Key())
}

// A huge answer is cut off instead of being read into memory.
func TestResponsesAreBounded(t *testing.T) {
	t.Parallel()
	p, s := setup(t, nil, stripebilling.Options{Retries: -1})
	var sent int
	s.Intercept(func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			chunk := []byte(strings.Repeat(" ", 1<<20))
			for range 64 {
				n, err := w.Write(chunk)
				sent += n
				if err != nil {
					return
				}
			}
		})
	})
	_, err := p.Subscription(t.Context(), "sub_1")
	require.ErrorIs(t, err, billing.ErrUnavailable)
	s.Close()
	require.Less(t, sent, 64<<20)
}

func TestReturnURL(t *testing.T) {
	t.Parallel()
	bare, _ := setup(t, nil, stripebilling.Options{})
	none, err := billing.New(billingtest.Plans(), bare, billingtest.NewStore(), nil)
	require.NoError(t, err)
	_, err = none.Checkout(t.Context(), billing.CheckoutRequest{Plan: "pro"})
	require.ErrorIs(t, err, billing.ErrInvalid)
	require.ErrorContains(t, err, "set CheckoutRequest.SuccessURL or stripebilling.Options.ReturnURL")

	p, _ := setup(t, nil, stripebilling.Options{ReturnURL: "https://app.example/billing"})
	b, err := billing.New(billingtest.Plans(), p, billingtest.NewStore(), nil)
	require.NoError(t, err)
	_, err = b.Checkout(t.Context(), billing.CheckoutRequest{Plan: "pro"})
	require.NoError(t, err)
	_, err = b.Portal(t.Context(), billing.PortalRequest{})
	require.NoError(t, err)
}

// A price's lookup key moves to its successor: who bought the old price keeps the plan; who was moved to some
// other price outside the catalogue does not.
func TestGrandfathering(t *testing.T) {
	t.Parallel()
	p, s := setup(t, nil, stripebilling.Options{ReturnURL: "https://app.example"})
	b, err := billing.New(billingtest.Plans(), p, billingtest.NewStore(), nil)
	require.NoError(t, err)
	s.Connect(b.Webhook())
	session, err := b.Checkout(t.Context(), billing.CheckoutRequest{Plan: "pro"})
	require.NoError(t, err)
	id, err := s.Complete(session.ID)
	require.NoError(t, err)
	inForce := func() string {
		plan, err := b.Plan(t.Context())
		require.NoError(t, err)
		return plan.ID
	}
	require.Equal(t, "pro", inForce())

	s.AddPrice(stripetest.Price{LookupKey: "pro_month_usd", Amount: 35_00, Currency: "USD", Interval: "month"})
	require.NoError(t, s.Update(id, func(*stripetest.Subscription) {}))
	require.Equal(t, "pro", inForce(), "the old price")

	team := s.AddPrice(stripetest.Price{LookupKey: "team_month_usd", Amount: 99_00, Currency: "USD", Interval: "month"})
	require.NoError(t, s.Update(id, func(sub *stripetest.Subscription) { sub.PriceID = team }))
	require.Equal(t, "team", inForce(), "swapped in the portal")

	other := s.AddPrice(stripetest.Price{LookupKey: "something_else", Amount: 1, Currency: "USD", Interval: "month"})
	require.NoError(t, s.Update(id, func(sub *stripetest.Subscription) { sub.PriceID = other }))
	require.Equal(t, "free", inForce(), "a price of no plan")
}
