package stripetest

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Delivery is a signed webhook.
type Delivery struct {
	Header http.Header
	Body   []byte
}

// Send posts the webhook to h and returns the status.
func (d Delivery) Send(h http.Handler) int {
	r := httptest.NewRequest(http.MethodPost, "/webhooks/stripe", strings.NewReader(string(d.Body)))
	r.Header = d.Header.Clone()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code
}

// Connect makes the server deliver webhooks to h as they happen, in the goroutine that caused them. What h
// does not accept stays queued for [Server.Deliver].
func (s *Server) Connect(h http.Handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.webhook = h
}

// Deliver sends all queued webhooks in order to the connected handler. Those it refuses stay queued, and the
// first refusal is returned. Without a connected handler it does nothing.
func (s *Server) Deliver() error {
	s.mu.Lock()
	h := s.webhook
	s.mu.Unlock()
	if h == nil {
		return nil
	}
	var refused []Delivery
	var err error
	for _, d := range s.Deliveries() {
		if status := d.Send(h); status/100 != 2 {
			refused = append(refused, d)
			if err == nil {
				err = fmt.Errorf("stripetest: the webhook handler answered %d", status)
			}
		}
	}
	s.mu.Lock()
	s.queue = append(refused, s.queue...)
	s.mu.Unlock()
	return err
}

// Deliveries takes all queued webhooks out of the queue, to be sent in any order and number.
func (s *Server) Deliveries() []Delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queue
	s.queue = nil
	return q
}

// Sign signs any body as of a time with all secrets: https://docs.stripe.com/webhooks#verify-manually.
func (s *Server) Sign(at time.Time, body []byte) Delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sign(at, body)
}

func (s *Server) sign(at time.Time, body []byte) Delivery {
	stamp := strconv.FormatInt(at.Unix(), 10)
	signature := "t=" + stamp
	for _, secret := range s.secrets {
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(stamp + "."))
		mac.Write(body)
		signature += ",v1=" + hex.EncodeToString(mac.Sum(nil))
	}
	h := http.Header{"Stripe-Signature": {signature}, "Content-Type": {"application/json; charset=utf-8"}}
	return Delivery{Header: h, Body: slices.Clone(body)}
}

// emit queues an event about an object as it is now.
func (s *Server) emit(typ string, o object) {
	body, err := json.MarshalIndent(object{
		"id": "evt_" + rand.Text()[:20], "object": "event", "type": typ, "api_version": s.opts.apiVersion(),
		"created": time.Now().Unix(), "livemode": false, "pending_webhooks": 1, "data": object{"object": o},
	}, "", "  ")
	if err != nil {
		panic(err) // maps of strings and numbers
	}
	s.queue = append(s.queue, s.sign(time.Now(), body))
}
