package billing_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/billing"
	"github.com/ashlar-go/ashlar/billing/billingtest"
)

// bought is a setup whose tenant "acme" has paid for pro, with the webhooks still to come.
func bought(t *testing.T, opts billing.Options) (b bench, sub string) {
	t.Helper()
	b = setup(t, opts)
	s, err := b.Checkout(as(t.Context(), "acme"), billing.CheckoutRequest{Plan: "pro"})
	require.NoError(t, err)
	sub, err = b.fake.Complete(s.ID)
	require.NoError(t, err)
	return b, sub
}

func (b bench) state(t *testing.T) billing.State {
	t.Helper()
	s, err := b.Subscription(as(t.Context(), "acme"))
	require.NoError(t, err)
	return s.State
}

func TestWebhookRefusesWhatIsNotTheProviders(t *testing.T) {
	t.Parallel()
	b, _ := bought(t, billing.Options{})
	d := b.fake.Deliveries()[0]
	forged := billingtest.Delivery{Header: d.Header, Body: bytes.Replace(d.Body, []byte("created"), []byte("deleted"), 1)}
	require.Equal(t, http.StatusBadRequest, forged.Send(b.Webhook()))
	require.Equal(t, http.StatusBadRequest, billingtest.Delivery{Body: d.Body}.Send(b.Webhook()))
	other := billingtest.NewProvider(nil).Sign(time.Now(), d.Body)
	require.Equal(t, http.StatusBadRequest, other.Send(b.Webhook()), "signed with another secret")
	require.Empty(t, b.state(t), "nothing was stored")
	require.Empty(t, b.reports.take(), "strangers cannot page anyone")
	require.Equal(t, http.StatusNoContent, d.Send(b.Webhook()))
	require.Equal(t, billing.StateActive, b.state(t))
}

func TestWebhookIsHTTP(t *testing.T) {
	t.Parallel()
	b := setup(t, billing.Options{})
	w := httptest.NewRecorder()
	b.Webhook().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	require.Equal(t, http.StatusMethodNotAllowed, w.Code)
	require.Equal(t, "POST", w.Header().Get("Allow"))

	w = httptest.NewRecorder()
	b.Webhook().ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", io.LimitReader(endless{}, 1<<30)))
	require.Equal(t, http.StatusRequestEntityTooLarge, w.Code)

	w = httptest.NewRecorder()
	b.Webhook().ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", io.MultiReader(strings.NewReader("{"), broken{})))
	require.Equal(t, http.StatusBadRequest, w.Code)
}

type endless struct{}

func (endless) Read(b []byte) (int, error) { return len(b), nil }

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("connection reset") }

func TestWebhookAcknowledgesWhatItDoesNotFollow(t *testing.T) {
	t.Parallel()
	b := setup(t, billing.Options{})
	b.store.SetFault(func(context.Context, string) error { t.Error("the store was called"); return nil })
	b.fake.SetFault(func(context.Context, billingtest.Call) error { t.Error("the provider was called"); return nil })
	for _, body := range []string{`{"id":"evt_1","type":"brand.new"}`, `{}`, `{"id":"e","type":"x","object":{"id":7}}`} {
		require.Equal(t, http.StatusNoContent, b.fake.Sign(time.Now(), []byte(body)).Send(b.Webhook()), body)
	}
	require.Empty(t, b.reports.take())
	require.Equal(t, http.StatusNoContent, b.fake.Sign(time.Now(), []byte("not json")).Send(b.Webhook()))
	require.Len(t, b.reports.take(), 1, "signed but unreadable is somebody's bug")
}

func TestWebhookDuplicatesCostNothing(t *testing.T) {
	t.Parallel()
	b, _ := bought(t, billing.Options{})
	fetches := 0
	b.fake.SetFault(func(_ context.Context, c billingtest.Call) error {
		if c.Op == "subscription" && !c.Done {
			fetches++
		}
		return nil
	})
	d := b.fake.Deliveries()[0]
	for range 5 {
		require.Equal(t, http.StatusNoContent, d.Send(b.Webhook()))
	}
	require.Equal(t, 1, fetches)
	require.Equal(t, map[string]float64{"applied": 1, "duplicate": 4}, b.counts.n)
}

// Every order of a burst leads to the provider's truth; the payloads' order decides nothing.
func TestWebhookOrderDoesNotMatter(t *testing.T) {
	t.Parallel()
	for _, order := range permutations(4) {
		b, sub := bought(t, billing.Options{})
		require.NoError(t, b.fake.SetState(sub, billing.StatePastDue))
		require.NoError(t, b.fake.SetState(sub, billing.StateCanceled))
		burst := b.fake.Deliveries()
		require.Len(t, burst, 4)
		for _, i := range order {
			require.Equal(t, http.StatusNoContent, burst[i].Send(b.Webhook()))
			require.Equal(t, billing.StateCanceled, b.state(t), "order %v", order)
		}
		require.Empty(t, b.reports.take())
	}
}

func permutations(n int) (all [][]int) {
	if n == 0 {
		return [][]int{{}}
	}
	for _, p := range permutations(n - 1) {
		for at := 0; at <= len(p); at++ {
			q := append(append(append([]int{}, p[:at]...), n-1), p[at:]...)
			all = append(all, q)
		}
	}
	return all
}

// A handler that fetched before a change and stalls until after a later handler stored it must not undo it.
func TestWebhookStalledHandlerIsFenced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, sub := bought(t, billing.Options{})
		resume, stalled := make(chan struct{}), make(chan struct{})
		first := true
		b.fake.SetFault(func(_ context.Context, c billingtest.Call) error {
			if c.Op == "subscription" && c.Done && first {
				first = false
				close(stalled)
				<-resume
			}
			return nil
		})
		old := b.fake.Deliveries()[0]
		done := make(chan int)
		go func() { done <- old.Send(b.Webhook()) }()
		<-stalled // it holds "active"

		require.NoError(t, b.fake.SetState(sub, billing.StateUnpaid))
		b.deliver(t)
		require.Equal(t, billing.StateUnpaid, b.state(t))
		close(resume)
		require.Equal(t, http.StatusNoContent, <-done)
		require.Equal(t, billing.StateUnpaid, b.state(t), "the stalled handler brought an old state back")
		require.Equal(t, 1.0, b.counts.n["superseded"])
	})
}

// While the provider is down nothing is acknowledged; the same event, delivered again, resumes.
func TestWebhookProviderDown(t *testing.T) {
	t.Parallel()
	b, _ := bought(t, billing.Options{})
	d := b.fake.Deliveries()[0]
	b.fake.Down(true)
	require.Equal(t, http.StatusServiceUnavailable, d.Send(b.Webhook()))
	require.Equal(t, http.StatusServiceUnavailable, d.Send(b.Webhook()))
	errs := b.reports.take()
	require.Len(t, errs, 2)
	require.ErrorIs(t, errs[0], billing.ErrUnavailable)
	require.Empty(t, b.state(t))
	b.fake.Down(false)
	require.Equal(t, http.StatusNoContent, d.Send(b.Webhook()))
	require.Equal(t, billing.StateActive, b.state(t))
}

// Wherever the store fails, the redelivery finishes the work.
func TestWebhookStoreDown(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"Ingest", "Apply"} {
		b, _ := bought(t, billing.Options{})
		d := b.fake.Deliveries()[0]
		b.store.SetFault(func(_ context.Context, m string) error {
			if m == method {
				return errors.New("connection refused")
			}
			return nil
		})
		require.Equal(t, http.StatusServiceUnavailable, d.Send(b.Webhook()), method)
		require.Empty(t, b.state(t))
		b.store.SetFault(nil)
		require.Equal(t, http.StatusNoContent, d.Send(b.Webhook()), method)
		require.Equal(t, billing.StateActive, b.state(t))
	}
}

func TestWebhookTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, _ := bought(t, billing.Options{})
		b.fake.SetFault(func(ctx context.Context, _ billingtest.Call) error { <-ctx.Done(); return ctx.Err() })
		start := time.Now()
		require.Equal(t, http.StatusServiceUnavailable, b.fake.Deliveries()[0].Send(b.Webhook()))
		require.Equal(t, 15*time.Second, time.Since(start))
		require.Len(t, b.reports.take(), 1)
		require.Zero(t, b.reports.ended, "a reporter needs time to do its work")
	})
}

// A read replica at the provider that still says "active" cannot revive what ended.
func TestWebhookImpossibleTransitionIsReported(t *testing.T) {
	t.Parallel()
	b, sub := bought(t, billing.Options{})
	require.NoError(t, b.fake.SetState(sub, billing.StateCanceled))
	b.deliver(t)
	require.NoError(t, b.fake.SetState(sub, billing.StateActive))
	b.deliver(t)
	require.Equal(t, billing.StateCanceled, b.state(t))
	errs := b.reports.take()
	require.Len(t, errs, 1)
	require.ErrorContains(t, errs[0], `"active" cannot follow "canceled"`)
}

func TestWebhookUnknownObjectIsAcknowledged(t *testing.T) {
	t.Parallel()
	b := setup(t, billing.Options{})
	body := []byte(`{"ID":"e1","Type":"subscription.updated","Subscription":"sub_elsewhere"}`)
	require.Equal(t, http.StatusNoContent, b.fake.Sign(time.Now(), body).Send(b.Webhook()))
	errs := b.reports.take()
	require.Len(t, errs, 1)
	require.ErrorIs(t, errs[0], billing.ErrNotFound)
}

// A price outside the catalogue grants nothing, and somebody hears of it.
func TestWebhookUnknownPrice(t *testing.T) {
	t.Parallel()
	b, sub := bought(t, billing.Options{})
	b.deliver(t)
	require.NoError(t, b.fake.Update(sub, func(s *billing.Subscription) { s.Price, s.Plan = "special_deal", "" }))
	b.deliver(t)
	errs := b.reports.take()
	require.Len(t, errs, 1)
	require.ErrorContains(t, errs[0], `"special_deal" is of no plan`)
	plan, err := b.Plan(as(t.Context(), "acme"))
	require.NoError(t, err)
	require.Equal(t, "free", plan.ID)

	// A retired price keeps the plan it was sold as.
	require.NoError(t, b.fake.Update(sub, func(s *billing.Subscription) { s.Price, s.Plan = "", "pro" }))
	b.deliver(t)
	require.Empty(t, b.reports.take())
	plan, err = b.Plan(as(t.Context(), "acme"))
	require.NoError(t, err)
	require.Equal(t, "pro", plan.ID)
}

// Whatever fails, neither answers nor logs nor errors hold customers' secrets.
func TestNothingSecretIsLogged(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	fake := billingtest.NewProvider(nil)
	b, err := billing.New(billingtest.Plans(), fake, billingtest.NewStore(), &billing.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	require.NoError(t, err)
	body := []byte(`{"email":"ann@example.com","card":"4242424242424242"}`)
	good := fake.Sign(time.Now(), []byte("ann@example.com 4242424242424242"))
	for _, d := range []billingtest.Delivery{{Body: body}, good} {
		d.Send(b.Webhook())
	}
	require.NotEmpty(t, log.String())
	for _, secret := range []string{"ann@", "4242", good.Header.Get(billingtest.SignatureHeader)} {
		require.NotContains(t, log.String(), secret)
	}
}
