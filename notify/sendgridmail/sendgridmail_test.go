package sendgridmail_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/notify"
	"github.com/ashlar-go/ashlar/notify/internal/providertest"
	"github.com/ashlar-go/ashlar/notify/notifytest"
	"github.com/ashlar-go/ashlar/notify/sendgridmail"
)

const key = "SG.secret-key-0123456789"

var from = notify.Address{Name: "Acme, Inc.", Email: "hi@acme.example"}

// wire is the part of SendGrid's request that the adapter may use; unknown fields
// fail, as they would there.
type wire struct {
	From             party `json:"from"`
	Subject          string
	Personalizations []struct {
		To []party `json:"to"`
	} `json:"personalizations"`
	Content []struct {
		Type  string `json:"type"`
		Value string `json:"value"`
	} `json:"content"`
	CustomArgs map[string]string `json:"custom_args"`
}

type party struct {
	Name  string `json:"name"`
	Email string `json:"email"`
}

// address undoes the quotes that SendGrid wants around commas and semicolons.
func (p party) address() (notify.Address, error) {
	if n := p.Name; len(n) > 1 && n[0] == '"' && n[len(n)-1] == '"' {
		p.Name = strings.NewReplacer(`\\`, `\`, `\"`, `"`).Replace(n[1 : len(n)-1])
	} else if strings.ContainsAny(n, ",;") {
		return notify.Address{}, errors.New("comma or semicolon in an unquoted name")
	}
	return notify.Address{Name: p.Name, Email: p.Email}, nil
}

// fake is SendGrid's Mail Send, as strict as its documentation.
type fake struct {
	*providertest.Server
	mu       sync.Mutex
	received []notify.Email
}

func open(t *testing.T) *fake {
	f := &fake{}
	refusal := func(status int, message string, header map[string]string) func([]byte) providertest.Answer {
		return func(body []byte) providertest.Answer {
			var w wire
			_ = json.Unmarshal(body, &w)
			text, _ := json.Marshal(map[string]any{"errors": []map[string]string{{
				"message": fmt.Sprintf(message, w.Personalizations[0].To[0].Email), "field": "personalizations.0.to",
			}}})
			return providertest.Answer{Status: status, Header: header, Body: string(text)}
		}
	}
	f.Server = providertest.New(t, &providertest.Server{Accept: f.accept, Answers: map[notifytest.Behaviour]func([]byte) providertest.Answer{
		notifytest.Reject:       refusal(400, "The address <%s> is not good enough", nil),
		notifytest.Unauthorized: refusal(401, "The key "+key+" may not write to %s", nil),
		notifytest.Throttle: refusal(429, "too many requests for %s", map[string]string{
			"X-RateLimit-Reset": fmt.Sprint(time.Now().Add(time.Minute).Unix()),
		}),
		notifytest.Break: refusal(503, "no luck with %s", nil),
	}})
	return f
}

func (f *fake) accept(r *http.Request, body []byte) providertest.Answer {
	bad := func(why string) providertest.Answer {
		return providertest.Answer{Status: 400, Body: `{"errors":[{"message":"` + why + `"}]}`}
	}
	if r.Method != "POST" || r.URL.Path != "/v3/mail/send" || r.Header.Get("Content-Type") != "application/json" {
		return bad("wrong method, path or content type")
	}
	if r.Header.Get("Authorization") != "Bearer "+key {
		return providertest.Answer{Status: 401}
	}
	var w wire
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&w); err != nil {
		return bad("unknown field or bad JSON")
	}
	if len(w.Personalizations) != 1 || len(w.Personalizations[0].To) != 1 || len(w.Content) == 0 || w.Subject == "" {
		return bad("incomplete")
	}
	to, err := w.Personalizations[0].To[0].address()
	sender, err2 := w.From.address()
	if err != nil || err2 != nil || sender != from {
		return bad("name or sender")
	}
	m := notify.Email{Key: w.CustomArgs["delivery"], To: to, Subject: w.Subject}
	for i, c := range w.Content {
		switch {
		case c.Type == "text/plain" && i == 0:
			m.Text = c.Value
		case c.Type == "text/html" && m.HTML == "":
			m.HTML = c.Value
		default:
			return bad("order of content")
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.received = append(f.received, m)
	return providertest.Answer{Status: 202, Header: map[string]string{"X-Message-Id": fmt.Sprintf("sg-%d", len(f.received))}}
}

func (f *fake) list() []notify.Email {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]notify.Email(nil), f.received...)
}

func (f *fake) mailer(t *testing.T) *sendgridmail.Mailer {
	m, err := sendgridmail.New(key, from, &sendgridmail.Options{BaseURL: f.URL + "/", HTTPClient: f.Client(t)})
	require.NoError(t, err)
	return m
}

func TestConformance(t *testing.T) {
	t.Parallel()
	notifytest.RunEmail(t, func(t *testing.T) notifytest.EmailHarness {
		f := open(t)
		return notifytest.EmailHarness{Sender: f.mailer(t), Received: f.list, Next: f.Next, Secrets: []string{key, "hi@acme.example"}}
	}, notifytest.Features{NoDedupe: true})
}

var mail = notify.Email{Key: "d1", To: notify.Address{Email: "ann@recipient.example"}, Subject: "Hi", Text: "x"}

func TestKeyTravelsAsCustomArgument(t *testing.T) {
	t.Parallel()
	f := open(t)
	id, err := f.mailer(t).SendEmail(t.Context(), mail)
	require.NoError(t, err)
	require.Equal(t, "sg-1", id)
	require.Equal(t, "d1", f.list()[0].Key)
}

func TestRateLimitResetIsHonoured(t *testing.T) {
	t.Parallel()
	f := open(t)
	f.Next(notifytest.Throttle)
	_, err := f.mailer(t).SendEmail(t.Context(), mail)
	var e *notify.Error
	require.ErrorAs(t, err, &e)
	require.InDelta(t, time.Minute.Seconds(), e.RetryAfter.Seconds(), 5)
}

func TestStatusClassification(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]error{
		200: nil, 202: nil, 302: notify.ErrUnavailable, 400: notify.ErrRejected, 401: notify.ErrUnauthorized, 403: notify.ErrUnauthorized,
		404: notify.ErrUnavailable, 405: notify.ErrUnavailable, 408: notify.ErrUnavailable, 413: notify.ErrRejected, 429: notify.ErrRateLimited, 500: notify.ErrUnavailable,
		502: notify.ErrUncertain, 503: notify.ErrUnavailable, 504: notify.ErrUncertain,
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
			fmt.Fprint(w, "<html>a proxy's page</html>")
		}))
		m, err := sendgridmail.New(key, from, &sendgridmail.Options{BaseURL: srv.URL})
		require.NoError(t, err)
		_, err = m.SendEmail(t.Context(), mail)
		require.ErrorIs(t, err, want, "status %d", status)
		require.Equal(t, want != nil && want != notify.ErrRejected, notify.Retryable(err), "status %d", status)
		srv.Close()
	}
}

func TestErrorExplains(t *testing.T) {
	t.Parallel()
	f := open(t)
	f.Next(notifytest.Reject)
	_, err := f.mailer(t).SendEmail(t.Context(), mail)
	require.EqualError(t, err, "sendgridmail: send: rejected by the provider: HTTP status 400: personalizations.0.to: The address <[redacted]> is not good enough")
}

func TestHugeAnswerIsBounded(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(500)
		chunk := strings.Repeat("x", 1<<16)
		for i := 0; i < 1<<20; i++ { // 64 GiB, were anyone to read it
			if _, err := fmt.Fprint(w, chunk); err != nil {
				return
			}
		}
	}))
	defer srv.Close()
	m, err := sendgridmail.New(key, from, &sendgridmail.Options{BaseURL: srv.URL})
	require.NoError(t, err)
	_, err = m.SendEmail(t.Context(), mail)
	require.ErrorIs(t, err, notify.ErrUnavailable)
	require.Less(t, len(err.Error()), 500)
}

func TestNewChecksArguments(t *testing.T) {
	t.Parallel()
	for _, bad := range []struct{ key, email, base string }{
		{"", from.Email, ""}, {"a\nb", from.Email, ""}, {key, "nobody", ""}, {key, from.Email, "api.example"}, {key, from.Email, "ftp://x"},
	} {
		_, err := sendgridmail.New(bad.key, notify.Address{Email: bad.email}, &sendgridmail.Options{BaseURL: bad.base})
		require.Error(t, err)
		require.NotContains(t, err.Error(), key)
	}
	_, err := sendgridmail.New(key, from, nil)
	require.NoError(t, err)
}
