// Package twiliosms sends text messages through Twilio's Messages API.
//
// Twilio has no idempotency key for messages: one sent again after
// [notify.ErrUncertain] may arrive, and be charged, twice.
//
// Only the SDK's packages for this API are imported (its root package pulls in
// every Twilio product), and its stock HTTP client is replaced: that one knows no
// context and leaks the body of every refusal.
package twiliosms

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/twilio/twilio-go/client"
	api "github.com/twilio/twilio-go/rest/api/v2010"

	"github.com/ashlar-go/ashlar/notify"
	"github.com/ashlar-go/ashlar/notify/internal/httpsend"
)

const op = "twiliosms: send"

// Twilio's error codes that need another treatment than their HTTP status gets.
// https://www.twilio.com/docs/api/errors
const (
	codeQueueFull = 21611
	codeTooMany   = 20429
)

// Options configure [New].
type Options struct {
	// BaseURL is the API's address. Empty means https://api.twilio.com.
	BaseURL string
	// HTTPClient is used without its redirects. nil: one with a timeout of 30 seconds.
	HTTPClient *http.Client
}

// Sender is a [notify.SMSSender]. Create it with [New]; it is safe for concurrent
// use.
type Sender struct {
	sid, token, from string
	base             *url.URL
	http             *http.Client
}

var _ notify.SMSSender = (*Sender)(nil)

// New returns a sender for an account. from is a number of the account (E.164),
// a short code, an alphanumeric sender id, or the SID of a messaging service
// ("MG…"). It does no I/O. opts may be nil.
func New(accountSID, token, from string, opts *Options) (*Sender, error) {
	if opts == nil {
		opts = &Options{}
	}
	if len(accountSID) != 34 || !strings.HasPrefix(accountSID, "AC") || !isAlnum(accountSID) {
		return nil, errors.New("twiliosms: the account SID is not AC and 32 letters or digits")
	}
	if token == "" || !isAlnum(token) {
		return nil, errors.New("twiliosms: the token is empty or has characters that no token has")
	}
	if from == "" || len(from) > 64 || strings.ContainsFunc(from, func(r rune) bool { return r < ' ' || r > '~' }) {
		return nil, errors.New("twiliosms: from is empty, too long or not printable ASCII")
	}
	base := opts.BaseURL
	if base == "" {
		base = "https://api.twilio.com"
	}
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, errors.New("twiliosms: Options.BaseURL is not an absolute http(s) URL")
	}
	return &Sender{sid: accountSID, token: token, from: from, base: u, http: httpsend.Client(opts.HTTPClient)}, nil
}

// SendSMS sends m and returns the message's SID ("SM…"). Success means that Twilio
// queued the message, not that a phone received it.
func (s *Sender) SendSMS(ctx context.Context, m notify.SMS) (string, error) {
	if err := m.Validate(); err != nil {
		return "", err
	}
	ctx, call := httpsend.Track(ctx, op, s.token, s.sid, m.To, s.from)
	params := (&api.CreateMessageParams{}).SetTo(m.To).SetBody(m.Text)
	if strings.HasPrefix(s.from, "MG") && len(s.from) == 34 {
		params.SetMessagingServiceSid(s.from)
	} else {
		params.SetFrom(s.from)
	}
	// Built by hand: NewRequestHandler reads TWILIO_EDGE and TWILIO_REGION.
	handler := &client.RequestHandler{Client: &request{ctx: ctx, Sender: s}}
	sent, err := api.NewApiService(handler).CreateMessage(params)
	var refused *refusal
	switch {
	case errors.As(err, &refused):
		return "", refused.classify(call)
	case err != nil:
		return "", call.Failed(err)
	case sent.Sid == nil:
		return "", nil
	}
	return *sent.Sid, nil
}

func isAlnum(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return true
}

// refusal is an answer other than 2xx on its way through the SDK.
type refusal struct {
	status int
	header http.Header
	body   client.TwilioRestError
}

func (r *refusal) Error() string { return "HTTP status " + strconv.Itoa(r.status) }

func (r *refusal) classify(call *httpsend.Call) error {
	status := r.status
	if r.body.Code == codeQueueFull || r.body.Code == codeTooMany {
		status = http.StatusTooManyRequests
	}
	detail := r.body.Message
	if r.body.Code != 0 {
		detail = "Twilio error " + strconv.Itoa(r.body.Code) + ": " + detail
	}
	// The SDK's error is kept for its code; its message and details quote the phone number.
	cause := &client.TwilioRestError{Code: r.body.Code, Status: r.status, MoreInfo: r.body.MoreInfo}
	return call.Refused(status, r.header, detail, cause)
}
