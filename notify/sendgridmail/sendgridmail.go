// Package sendgridmail sends e-mail through Twilio SendGrid's v3 API (Mail Send).
//
// SendGrid has no idempotency key: a message sent again after
// [notify.ErrUncertain] may arrive twice. The delivery's key travels as the
// custom argument "delivery", which SendGrid repeats in its event webhook.
//
// The SDK's own client is not used: it shares one request body between
// goroutines, ignores the context while it waits and reports refusals as success.
// Its request and message types are.
package sendgridmail

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	sendgrid "github.com/sendgrid/sendgrid-go"
	"github.com/sendgrid/sendgrid-go/helpers/mail"

	"github.com/ashlar-go/ashlar/notify"
	"github.com/ashlar-go/ashlar/notify/internal/httpsend"
)

const op = "sendgridmail: send"

// Options configure [New].
type Options struct {
	// BaseURL is the API's address. Empty means https://api.sendgrid.com; a
	// European account uses https://api.eu.sendgrid.com.
	BaseURL string
	// HTTPClient is used without its redirects. nil: one with a timeout of 30 seconds.
	HTTPClient *http.Client
}

// Mailer is a [notify.EmailSender]. Create it with [New]; it is safe for
// concurrent use.
type Mailer struct {
	key  string
	from notify.Address
	base string
	http *http.Client
}

var _ notify.EmailSender = (*Mailer)(nil)

// New returns a mailer for an API key with the permission "Mail Send" and a sender
// that the account has verified. It does no I/O. opts may be nil.
func New(key string, from notify.Address, opts *Options) (*Mailer, error) {
	if opts == nil {
		opts = &Options{}
	}
	if key == "" || strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, errors.New("sendgridmail: the API key is empty or has characters that no key has")
	}
	if err := from.Validate(); err != nil {
		return nil, fmt.Errorf("sendgridmail: from: %w", err)
	}
	if opts.BaseURL != "" {
		if u, err := url.Parse(opts.BaseURL); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			return nil, errors.New("sendgridmail: Options.BaseURL is not an absolute http(s) URL")
		}
	}
	return &Mailer{
		key: key, from: from, base: strings.TrimRight(opts.BaseURL, "/"),
		http: httpsend.Client(opts.HTTPClient),
	}, nil
}

// SendEmail sends m and returns SendGrid's X-Message-Id. 202 means that SendGrid
// took the message, not that it was delivered.
func (s *Mailer) SendEmail(ctx context.Context, m notify.Email) (string, error) {
	if err := m.Validate(); err != nil {
		return "", err
	}
	ctx, call := httpsend.Track(ctx, op, s.key, m.To.Email, s.from.Email)
	req, err := s.request(ctx, m)
	if err != nil {
		return "", fmt.Errorf("%s: encode: %w", op, err)
	}
	res, err := s.http.Do(req)
	if err != nil {
		return "", call.Failed(err)
	}
	defer res.Body.Close()
	if res.StatusCode < 200 || res.StatusCode > 299 {
		body, _ := io.ReadAll(res.Body) // a status without a readable body is still an answer
		return "", call.Refused(res.StatusCode, res.Header, explain(body), nil)
	}
	return res.Header.Get("X-Message-Id"), nil
}

// request is the SDK's, made for this message alone and given a context.
func (s *Mailer) request(ctx context.Context, m notify.Email) (*http.Request, error) {
	body, err := json.Marshal(s.message(m))
	if err != nil {
		return nil, err
	}
	sdk := sendgrid.GetRequest(s.key, "/v3/mail/send", s.base)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, sdk.BaseURL, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, value := range sdk.Headers {
		req.Header.Set(name, value)
	}
	req.Header.Set("Content-Type", "application/json")
	return req, nil
}

func (s *Mailer) message(m notify.Email) *mail.SGMailV3 {
	to := mail.NewPersonalization()
	to.AddTos(address(m.To))
	out := mail.NewV3Mail()
	out.SetFrom(address(s.from))
	out.Subject = m.Subject
	out.AddPersonalizations(to)
	if m.Text != "" { // the API wants text/plain first
		out.AddContent(mail.NewContent("text/plain", m.Text))
	}
	if m.HTML != "" {
		out.AddContent(mail.NewContent("text/html", m.HTML))
	}
	if m.Key != "" {
		out.SetCustomArg("delivery", m.Key)
	}
	return out
}

// address quotes a name with a comma or semicolon, which SendGrid would otherwise
// take for the end of the name.
func address(a notify.Address) *mail.Email {
	name := a.Name
	if strings.ContainsAny(name, ",;") {
		name = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `"`
	}
	return mail.NewEmail(name, a.Email)
}

// explain picks the first reason out of an answer: {"errors":[{"message","field"}]}.
func explain(body []byte) string {
	var answer struct {
		Errors []struct {
			Message string `json:"message"`
			Field   string `json:"field"`
		} `json:"errors"`
	}
	if json.Unmarshal(body, &answer) != nil || len(answer.Errors) == 0 {
		return ""
	}
	first := answer.Errors[0]
	if first.Field != "" {
		return first.Field + ": " + first.Message
	}
	return first.Message
}
