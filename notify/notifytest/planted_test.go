package notifytest_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/notify"
	"github.com/ashlar-go/ashlar/notify/notifytest"
)

// planted are adapters with one bug each, and the case of the suite that finds it.
var planted = map[string]struct {
	finds string
	plant func(rec *notifytest.Recorder) notify.EmailFunc
}{
	"forgets the key": {"same_key", func(rec *notifytest.Recorder) notify.EmailFunc {
		return func(ctx context.Context, m notify.Email) (string, error) {
			m.Key = ""
			return rec.SendEmail(ctx, m)
		}
	}},
	"quotes the recipient": {"rejected", wrap(func(err error, m notify.Email) error {
		e := *asError(err)
		e.Err = fmt.Errorf("no such mailbox: %s", m.To.Email)
		return &e
	})},
	"hides the recipient in the chain": {"throttled", wrap(func(err error, m notify.Email) error {
		e := *asError(err)
		e.Err = fmt.Errorf("no: %w", quiet{errors.New(m.To.Email)})
		return &e
	})},
	"retries what was refused": {"rejected", wrap(func(err error, _ notify.Email) error {
		e := *asError(err)
		e.Retryable = true
		return &e
	})},
	"drops what was throttled": {"throttled", wrap(func(err error, _ notify.Email) error {
		e := *asError(err)
		e.Retryable = false
		return &e
	})},
	"takes silence for success": {"lost_answer_is_uncertain", wrap(func(err error, _ notify.Email) error {
		if errors.Is(err, notify.ErrUncertain) {
			return nil
		}
		return err
	})},
	"takes silence for failure": {"lost_answer_is_uncertain", wrap(func(err error, _ notify.Email) error {
		e := *asError(err)
		if e.Kind == notify.ErrUncertain {
			e.Kind = notify.ErrUnavailable
		}
		return &e
	})},
	"takes a hang for failure": {"hanging_provider", wrap(func(err error, _ notify.Email) error {
		e := *asError(err)
		if errors.Is(err, context.DeadlineExceeded) {
			e.Kind = notify.ErrUnavailable
		}
		return &e
	})},
	"repairs injected headers": {"header_and_command_injection", func(rec *notifytest.Recorder) notify.EmailFunc {
		return func(ctx context.Context, m notify.Email) (string, error) {
			m.Subject = strings.NewReplacer("\r", "", "\n", "").Replace(m.Subject)
			return rec.SendEmail(ctx, m)
		}
	}},
	"eats leading dots": {"text_arrives_unchanged", func(rec *notifytest.Recorder) notify.EmailFunc {
		return func(ctx context.Context, m notify.Email) (string, error) {
			m.Text = strings.ReplaceAll(m.Text, "\n.", "\n")
			return rec.SendEmail(ctx, m)
		}
	}},
	"ignores the context": {"cancelled_before:_nothing_is_sent", func(rec *notifytest.Recorder) notify.EmailFunc {
		return func(ctx context.Context, m notify.Email) (string, error) {
			if errors.Is(ctx.Err(), context.Canceled) {
				ctx = context.WithoutCancel(ctx)
			}
			return rec.SendEmail(ctx, m)
		}
	}},
	"shares a body": {"concurrent_senders_do_not_mix_messages", func(rec *notifytest.Recorder) notify.EmailFunc {
		first := ""
		lock := make(chan struct{}, 1)
		return func(ctx context.Context, m notify.Email) (string, error) {
			lock <- struct{}{}
			defer func() { <-lock }()
			if first == "" {
				first = m.Text
			}
			if strings.HasPrefix(m.Text, "message") {
				m.Text = first
			}
			return rec.SendEmail(ctx, m)
		}
	}},
}

// quiet hides its cause from Error but not from Unwrap.
type quiet struct{ cause error }

func (q quiet) Error() string { return "quiet" }
func (q quiet) Unwrap() error { return q.cause }

func asError(err error) *notify.Error {
	var e *notify.Error
	if errors.As(err, &e) {
		return e
	}
	return &notify.Error{}
}

func wrap(change func(error, notify.Email) error) func(*notifytest.Recorder) notify.EmailFunc {
	return func(rec *notifytest.Recorder) notify.EmailFunc {
		return func(ctx context.Context, m notify.Email) (string, error) {
			id, err := rec.SendEmail(ctx, m)
			if err != nil {
				err = change(err, m)
			}
			return id, err
		}
	}
}

// TestSuiteFindsPlantedBugs runs this binary again for each bug, because a suite
// that finds one fails its test.
func TestSuiteFindsPlantedBugs(t *testing.T) {
	t.Parallel()
	for name, p := range planted {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, err := exec.Command(os.Args[0], "-test.run=^TestPlantedChild$", "-test.v", name).CombinedOutput()
			require.Error(t, err, "the suite passes a broken adapter")
			require.Contains(t, string(out), "--- FAIL: TestPlantedChild/"+p.finds)
		})
	}
}

// TestPlantedChild does something only in the child processes of the test above.
func TestPlantedChild(t *testing.T) {
	p, ok := planted[flag.Arg(0)]
	if !ok {
		require.Empty(t, flag.Args())
		return
	}
	notifytest.RunEmail(t, func(t *testing.T) notifytest.EmailHarness {
		h, rec := harness(t)
		h.Sender = p.plant(rec)
		return h
	}, notifytest.Features{Bubble: true})
}
