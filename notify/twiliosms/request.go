package twiliosms

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/twilio/twilio-go/client"
)

// request is the SDK's HTTP client for exactly one message. It keeps the context
// because the SDK has no other place for it.
type request struct {
	*Sender
	ctx context.Context
}

var _ client.BaseClient = (*request)(nil)

// SendRequest performs the call on our own client: with the context, with the
// configured host, and closing the body of a refusal.
func (r *request) SendRequest(method, rawURL string, data url.Values, headers map[string]any, _ ...byte) (*http.Response, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, err
	}
	u.Scheme, u.Host = r.base.Scheme, r.base.Host
	u.Path = strings.TrimRight(r.base.Path, "/") + u.Path
	req, err := http.NewRequestWithContext(r.ctx, method, u.String(), strings.NewReader(data.Encode()))
	if err != nil {
		return nil, err
	}
	for name, value := range headers {
		if text, ok := value.(string); ok {
			req.Header.Set(name, text)
		}
	}
	req.Header.Set("Accept", "application/json")
	req.SetBasicAuth(r.sid, r.token)
	res, err := r.http.Do(req)
	if err != nil || res.StatusCode >= 200 && res.StatusCode <= 299 {
		return res, err
	}
	defer res.Body.Close()
	refused := &refusal{status: res.StatusCode, header: res.Header}
	// A body that is not Twilio's JSON, say from a proxy, leaves the status to speak.
	if json.NewDecoder(res.Body).Decode(&refused.body) != nil {
		refused.body = client.TwilioRestError{}
	}
	return nil, refused
}

// AccountSid is part of the URL.
func (r *request) AccountSid() string { return r.sid }

// The rest of the SDK's interface has no use for one call: the timeout is the
// context's, and the credentials are basic auth.
func (r *request) SetTimeout(time.Duration) {}
func (r *request) SetOauth(client.OAuth)    {}
func (r *request) OAuth() client.OAuth      { return nil }
