package notifytest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/ashlar-go/ashlar/notify"
)

const maxRecorded = 100_000

// Recorder is a [notify.EmailSender] and [notify.SMSSender] that keeps what it is
// given, like a provider with idempotency keys: a key seen before is answered with
// the same id and recorded once. The zero value is ready for use; [New] adds
// assertions. It is safe for concurrent use and refuses more than 100000 messages.
type Recorder struct {
	t testing.TB

	mu     sync.Mutex
	sent   []Sent
	ids    map[string]string // channel and key → id
	faults []Fault
}

var (
	_ notify.EmailSender = (*Recorder)(nil)
	_ notify.SMSSender   = (*Recorder)(nil)
)

// New returns an empty recorder whose assertions fail t.
func New(t testing.TB) *Recorder { return &Recorder{t: t} }

// Fault makes the recorder fail the way providers do.
type Fault struct {
	// Channel is the one that fails. Empty: both.
	Channel notify.Channel
	// Kind is the failure: notify.ErrRejected, ErrUnauthorized, ErrRateLimited,
	// ErrUnavailable, or ErrUncertain, for which the message is recorded although
	// the caller gets the error. nil: the call hangs until its context ends.
	Kind error
	// Times is how many calls fail. Zero means 1, negative all from now on.
	Times int
}

// Fail adds a fault; faults apply in the order in which they were added.
func (r *Recorder) Fail(f Fault) {
	if f.Times == 0 {
		f.Times = 1
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = append(r.faults, f)
}

// Heal removes all faults.
func (r *Recorder) Heal() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = nil
}

// Reset forgets all messages, keys and faults.
func (r *Recorder) Reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sent, r.ids, r.faults = nil, nil, nil
}

// SendEmail records m, or fails as [Recorder.Fail] said.
func (r *Recorder) SendEmail(ctx context.Context, m notify.Email) (string, error) {
	if err := m.Validate(); err != nil {
		return "", err
	}
	return r.accept(ctx, Sent{
		Channel: notify.ChannelEmail, Key: m.Key, Kind: m.Kind, Tenant: m.Tenant,
		Name: m.To.Name, To: m.To.Email, Subject: m.Subject, Text: m.Text, HTML: m.HTML,
	})
}

// SendSMS records m, or fails as [Recorder.Fail] said.
func (r *Recorder) SendSMS(ctx context.Context, m notify.SMS) (string, error) {
	if err := m.Validate(); err != nil {
		return "", err
	}
	return r.accept(ctx, Sent{Channel: notify.ChannelSMS, Key: m.Key, Kind: m.Kind, Tenant: m.Tenant, To: m.To, Text: m.Text})
}

func (r *Recorder) accept(ctx context.Context, m Sent) (string, error) {
	op := "notifytest: " + string(m.Channel)
	if err := ctx.Err(); err != nil {
		return "", &notify.Error{Op: op, Kind: notify.ErrUnavailable, Retryable: true, Err: err}
	}
	fault := r.fault(m.Channel)
	switch {
	case fault == nil:
		return r.record(m)
	case fault.Kind == nil:
		<-ctx.Done()
		return "", &notify.Error{Op: op, Kind: notify.ErrUncertain, Retryable: true, Err: ctx.Err()}
	case fault.Kind == notify.ErrUncertain:
		if _, err := r.record(m); err != nil {
			return "", err
		}
	}
	return "", &notify.Error{Op: op, Kind: fault.Kind, Retryable: fault.Kind != notify.ErrRejected, Err: errors.New("a fault of the test")}
}

func (r *Recorder) fault(c notify.Channel) *Fault {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.faults {
		f := r.faults[i]
		if f.Times == 0 || f.Channel != "" && f.Channel != c {
			continue
		}
		if f.Times > 0 {
			r.faults[i].Times--
		}
		return &f
	}
	return nil
}

func (r *Recorder) record(m Sent) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := string(m.Channel) + " " + m.Key
	if id, ok := r.ids[key]; ok && m.Key != "" {
		return id, nil
	}
	if len(r.sent) >= maxRecorded {
		return "", &notify.Error{Op: "notifytest: record", Kind: notify.ErrUnavailable, Retryable: true, Err: errors.New("the recorder is full; call Reset")}
	}
	m.ID = fmt.Sprintf("%s-%d", m.Channel, len(r.sent)+1)
	r.sent = append(r.sent, m)
	if r.ids == nil {
		r.ids = map[string]string{}
	}
	r.ids[key] = m.ID
	return m.ID, nil
}
