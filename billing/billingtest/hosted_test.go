package billingtest_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/billing"
	"github.com/ashlar-go/ashlar/billing/billingtest"
)

// One line is a shop: what is bought is in force.
func TestNew(t *testing.T) {
	t.Parallel()
	b, fake := billingtest.New(t, billingtest.Plans(), nil)
	s, err := b.Checkout(t.Context(), billing.CheckoutRequest{Plan: "team"})
	require.NoError(t, err)
	require.False(t, b.Can(t.Context(), "sso", 1).Allowed)
	_, err = fake.Complete(s.ID)
	require.NoError(t, err)
	require.True(t, b.Can(t.Context(), "sso", 1).Allowed)
}

// The hosted page works for a person with a browser: look, press the button, come back subscribed.
func TestHostedCheckout(t *testing.T) {
	t.Parallel()
	fake := billingtest.NewProvider(&billingtest.ProviderOptions{URL: "https://app.example/pay", ReturnURL: "https://app.example/done"})
	b, err := billing.New(billingtest.Plans(), fake, billingtest.NewStore(), nil)
	require.NoError(t, err)
	fake.Connect(b.Webhook())
	s, err := b.Checkout(t.Context(), billing.CheckoutRequest{Plan: "team"})
	require.NoError(t, err)

	do := func(method, url string) *http.Response {
		w := httptest.NewRecorder()
		fake.ServeHTTP(w, httptest.NewRequest(method, url, nil))
		return w.Result()
	}
	page := do(http.MethodGet, s.URL)
	text, err := io.ReadAll(page.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, page.StatusCode)
	require.Contains(t, string(text), "99.00 USD")
	require.Error(t, b.Can(t.Context(), "sso", 1).Err(), "looking buys nothing")

	paid := do(http.MethodPost, s.URL)
	require.Equal(t, http.StatusSeeOther, paid.StatusCode)
	require.Equal(t, "https://app.example/done", paid.Header.Get("Location"))
	require.NoError(t, b.Can(t.Context(), "sso", 1).Err())

	require.Equal(t, http.StatusNotFound, do(http.MethodGet, "https://app.example/pay/checkout/cs_other").StatusCode)
	require.Equal(t, http.StatusMethodNotAllowed, do(http.MethodDelete, s.URL).StatusCode)
}
