package stripetest_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/stripe/stripe-go/v76/webhook"

	"github.com/ashlar-go/ashlar/billing/stripetest"
)

// post sends a form as curl would: the fake must be strict without the SDK's help.
func post(t *testing.T, s *stripetest.Server, path, form string, header ...string) (status int, body map[string]any, h http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL()+path, strings.NewReader(form))
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+s.Key())
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &body), "%s", b)
	return resp.StatusCode, body, resp.Header
}

func code(body map[string]any) any { return body["error"].(map[string]any)["code"] }

func TestServerIsStrict(t *testing.T) {
	t.Parallel()
	s := stripetest.New(t, nil)
	status, _, _ := post(t, s, "/v1/customers", "", "Authorization", "Bearer sk_test_wrong")
	require.Equal(t, 401, status)
	status, _, h := post(t, s, "/v1/customers", "metadata[tenant]=acme")
	require.Equal(t, 200, status)
	require.NotEmpty(t, h.Get("Request-Id"))
	status, body, _ := post(t, s, "/v1/customers", "name=Ann")
	require.Equal(t, 400, status)
	require.Equal(t, "parameter_unknown", code(body))
	status, _, _ = post(t, s, "/v1/customers", `{"metadata":{}}`, "Content-Type", "application/json")
	require.Equal(t, 400, status)
	status, _, _ = post(t, s, "/v1/customers", "%zz")
	require.Equal(t, 400, status)
	status, _, _ = post(t, s, "/v1/charges", "")
	require.Equal(t, 404, status)
	status, body, _ = post(t, s, "/v1/billing_portal/sessions", "customer=cus_x")
	require.Equal(t, 400, status)
	require.Equal(t, "resource_missing", code(body))
	require.Equal(t, "POST /v1/charges", s.Requests()[5])
}

func TestIdempotencyKeys(t *testing.T) {
	t.Parallel()
	s := stripetest.New(t, nil)
	_, first, h := post(t, s, "/v1/customers", "metadata[a]=1", "Idempotency-Key", "k")
	require.Empty(t, h.Get("Idempotent-Replayed"))
	_, again, h := post(t, s, "/v1/customers", "metadata[a]=1", "Idempotency-Key", "k")
	require.Equal(t, "true", h.Get("Idempotent-Replayed"))
	require.Equal(t, first, again)
	status, body, _ := post(t, s, "/v1/customers", "metadata[a]=2", "Idempotency-Key", "k")
	require.Equal(t, 400, status)
	require.Equal(t, "idempotency_error", body["error"].(map[string]any)["type"])
	_, other, _ := post(t, s, "/v1/customers", "metadata[a]=1")
	require.NotEqual(t, first["id"], other["id"])
}

// The SDK verifies what the fake signs.
func TestWebhooksAreSignedAsStripeDoes(t *testing.T) {
	t.Parallel()
	s := stripetest.New(t, &stripetest.Options{WebhookSecrets: []string{"whsec_a", "whsec_b"}})
	d := s.Sign(time.Now(), []byte(`{"id":"evt_1"}`))
	for secret, want := range map[string]error{"whsec_a": nil, "whsec_b": nil, "whsec_c": webhook.ErrNoValidSignature} {
		require.Equal(t, want, webhook.ValidatePayload(d.Body, d.Header.Get("Stripe-Signature"), secret))
	}
}

func TestDeliverKeepsWhatIsRefused(t *testing.T) {
	t.Parallel()
	s := stripetest.New(t, nil)
	status := http.StatusServiceUnavailable
	var got []string
	s.Connect(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		var e struct{ Type string }
		_ = json.Unmarshal(b, &e)
		got = append(got, e.Type)
		w.WriteHeader(status)
	}))
	price := s.AddPrice(stripetest.Price{LookupKey: "pro", Amount: 100, Currency: "USD", Interval: "month"})
	_, customer, _ := post(t, s, "/v1/customers", "")
	_, session, _ := post(t, s, "/v1/checkout/sessions", "mode=subscription&success_url=https://a.example&customer="+customer["id"].(string)+
		"&line_items[0][price]="+price+"&line_items[0][quantity]=1")
	id, err := s.Complete(session["id"].(string))
	require.ErrorContains(t, err, "answered 503")
	require.NotEmpty(t, id)
	status = http.StatusOK
	require.NoError(t, s.Deliver())
	require.NoError(t, s.Deliver())
	burst := []string{"customer.subscription.created", "invoice.paid", "checkout.session.completed"}
	require.Equal(t, append(burst, burst...), got)
	_, err = s.Complete("cs_missing")
	require.Error(t, err)
}

func TestNewServerNeedsNoTest(t *testing.T) {
	t.Parallel()
	s, err := stripetest.NewServer(nil)
	require.NoError(t, err)
	_, err = stripetest.NewServer(&stripetest.Options{Addr: strings.TrimPrefix(s.URL(), "http://")})
	require.ErrorContains(t, err, "in use")
	s.Close()
}
