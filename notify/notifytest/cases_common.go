package notifytest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ashlar-go/ashlar/notify"
)

// commonCases hold for every channel. why is logged with a failure.
var commonCases = []struct {
	name   string
	why    string
	faulty bool // needs a provider that can fail
	body   func(*testing.T, Features, probe)
}{
	{"accepts and names", "status reports are matched by the provider's id", false, func(t *testing.T, _ Features, p probe) {
		a := mustSend(t, p, "key-1", "one")
		b := mustSend(t, p, "key-2", "two")
		if a == "" || a == b {
			t.Errorf("ids %q and %q, want two different ones", a, b)
		}
		wantTexts(t, p, "one", "two")
	}},
	{"concurrent senders do not mix messages", "sendgrid-go's client shares one body", false, func(t *testing.T, _ Features, p probe) {
		const n = 20
		var group sync.WaitGroup
		errs := make([]error, n)
		var want []string
		for i := range n {
			text := fmt.Sprintf("message %02d", i)
			want = append(want, text)
			group.Go(func() { _, errs[i] = p.send(t.Context(), fmt.Sprintf("key-%d", i), text) })
		}
		group.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		wantTexts(t, p, want...)
	}},
	{"cancelled before: nothing is sent", "a caller that gave up must not send", false, func(t *testing.T, _ Features, p probe) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := p.send(ctx, "key-1", "never")
		wantError(t, p, err, notify.ErrUnavailable, true)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error %v does not wrap context.Canceled", err)
		}
		wantTexts(t, p)
	}},
	{"same key", "a job repeated after a crash", false, func(t *testing.T, f Features, p probe) {
		mustSend(t, p, "key-1", "once")
		mustSend(t, p, "key-1", "once")
		if f.NoDedupe {
			wantTexts(t, p, "once", "once")
		} else {
			wantTexts(t, p, "once")
		}
	}},
	{"rejected", "retrying a refused message costs reputation", true, failing(Reject, notify.ErrRejected, false)},
	{"unauthorized", "a rotated key must not lose alerts", true, failing(Unauthorized, notify.ErrUnauthorized, true)},
	{"throttled", "429 is no verdict on the message", true, failing(Throttle, notify.ErrRateLimited, true)},
	{"broken provider", "5xx is no verdict on the message", true, failing(Break, notify.ErrUnavailable, true)},
	{"no connection", "nothing was sent, so another provider may be tried", true, failing(Refuse, notify.ErrUnavailable, true)},
	{"lost answer is uncertain", "the message may have arrived: no provider switch, no silent success", true, func(t *testing.T, f Features, p probe) {
		p.next(LoseAnswer)
		_, err := p.send(t.Context(), "key-1", "perhaps")
		wantError(t, p, err, notify.ErrUncertain, true)
		wantTexts(t, p, "perhaps")
		mustSend(t, p, "key-1", "perhaps")
		if f.NoDedupe {
			wantTexts(t, p, "perhaps", "perhaps")
		} else {
			wantTexts(t, p, "perhaps")
		}
	}},
	{"hanging provider", "a worker must get its goroutine back", true, func(t *testing.T, _ Features, p probe) {
		// On a busy machine a short deadline may end before the message has left,
		// which is no silence of the provider yet.
		var err error
		for limit := 300 * time.Millisecond; limit < 30*time.Second; limit *= 3 {
			p.next(Hang)
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			_, err = p.send(ctx, "key-1", "slow")
			cancel()
			if !errors.Is(err, notify.ErrUnavailable) {
				break
			}
		}
		wantError(t, p, err, notify.ErrUncertain, true)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v does not wrap context.DeadlineExceeded", err)
		}
	}},
}

// failing expects one failure that changes nothing, and success afterwards.
func failing(b Behaviour, kind error, retryable bool) func(*testing.T, Features, probe) {
	return func(t *testing.T, _ Features, p probe) {
		p.next(b)
		_, err := p.send(t.Context(), "key-1", "lost")
		wantError(t, p, err, kind, retryable)
		wantTexts(t, p)
		mustSend(t, p, "key-2", "after")
		wantTexts(t, p, "after")
	}
}

func mustSend(t *testing.T, p probe, key, text string) string {
	t.Helper()
	id, err := p.send(t.Context(), key, text)
	if err != nil {
		t.Fatalf("send: %v", err)
	}
	return id
}

func wantTexts(t *testing.T, p probe, want ...string) {
	t.Helper()
	got := p.received()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Fatalf("the provider accepted %q, want %q", got, want)
	}
}

// wantError checks kind, shape and discretion of an error.
func wantError(t *testing.T, p probe, err, kind error, retryable bool) {
	t.Helper()
	var e *notify.Error
	if !errors.As(err, &e) || !errors.Is(err, kind) {
		t.Fatalf("error %v, want a *notify.Error of kind %q", err, kind)
	}
	if e.Retryable != retryable || notify.Retryable(err) != retryable {
		t.Errorf("error %v: Retryable is %v, want %v", err, e.Retryable, retryable)
	}
	discreet(t, err, p.secrets)
}

// discreet looks through the whole chain: what errors.As digs out may be logged too.
func discreet(t *testing.T, err error, secrets []string) {
	t.Helper()
	if err == nil {
		return
	}
	for _, text := range []string{err.Error(), fmt.Sprintf("%+v", err), fmt.Sprintf("%#v", err)} {
		for _, secret := range secrets {
			if secret != "" && strings.Contains(strings.ToLower(text), strings.ToLower(secret)) {
				t.Errorf("error text holds the secret or address %q", secret)
			}
		}
	}
	switch u := err.(type) {
	case interface{ Unwrap() error }:
		discreet(t, u.Unwrap(), secrets)
	case interface{ Unwrap() []error }:
		for _, e := range u.Unwrap() {
			discreet(t, e, secrets)
		}
	}
}

// normal makes line ends comparable: SMTP makes them CRLF and ends the last line.
func normal(s string) string {
	return strings.TrimSuffix(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(s), "\n")
}
