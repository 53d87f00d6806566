package notify_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/notify"
	"github.com/ashlar-go/ashlar/notify/notifytest"
)

func build(t *testing.T, opts notify.Options) *notify.Notifier {
	n, err := notify.New(&opts)
	require.NoError(t, err)
	return n
}

func TestNewNeedsASender(t *testing.T) {
	t.Parallel()
	_, err := notify.New(nil)
	require.ErrorContains(t, err, "Options.Email")
	_, err = notify.New(&notify.Options{})
	require.ErrorContains(t, err, "Options.SMS")
}

func TestChannelsMeetInTheMiddle(t *testing.T) {
	t.Parallel()
	rec := notifytest.New(t)
	both := build(t, notify.Options{Email: rec, SMS: rec})
	mailOnly := build(t, notify.Options{Email: rec})
	full := notify.Message{To: ann, Subject: "s", Text: "t", SMS: "m"}
	smsOnly := notify.Message{To: bob, SMS: "m"}
	for name, c := range map[string]struct {
		n    *notify.Notifier
		m    notify.Message
		want int
		err  error
	}{
		"both":                   {both, full, 2, nil},
		"recipient has no phone": {both, notify.Message{To: bob, Subject: "s", Text: "t", SMS: "m"}, 1, nil},
		"no sender for one":      {mailOnly, full, 1, nil},
		"nothing in common":      {both, smsOnly, 0, notify.ErrNoChannel},
		"nothing to say":         {both, notify.Message{To: ann}, 0, notify.ErrNoChannel},
		"no subject":             {both, notify.Message{To: ann, Text: "t"}, 0, notify.ErrInvalid},
		"bad recipient":          {both, notify.Message{To: notify.Recipient{Email: "x"}, Subject: "s", Text: "t"}, 0, notify.ErrInvalid},
		"too long for SMS":       {both, notify.Message{To: ann, Subject: "s", Text: "t", SMS: strings.Repeat("x", 1601)}, 0, notify.ErrInvalid},
	} {
		rec.Reset()
		require.ErrorIs(t, c.n.Send(t.Context(), c.m), c.err, name)
		require.Len(t, rec.All(), c.want, name)
	}
	require.ErrorIs(t, both.Send(t.Context(), nil), notify.ErrInvalid)
	require.ErrorIs(t, both.Send(t.Context(), (*notify.Message)(nil)), notify.ErrInvalid)
	require.ErrorIs(t, both.Send(t.Context(), note{kind: "x"}), notify.ErrInvalid, "no recipients")
	require.ErrorIs(t, both.Send(t.Context(), note{kind: "x", to: make([]notify.Recipient, 1001)}), notify.ErrInvalid)
	rec.Reset()
	require.NoError(t, both.Send(t.Context(), &full))
	require.Len(t, rec.All(), 2)
}

// One bad recipient means that nobody is told: the caller can repair and repeat.
func TestNothingLeavesBeforeEverythingIsValid(t *testing.T) {
	t.Parallel()
	rec := notifytest.New(t)
	n := build(t, notify.Options{Email: rec, Templates: files("x/subject.txt", "s", "x/email.txt", "t")})
	for _, bad := range []notify.Recipient{{Email: "nonsense"}, {Phone: "+14155550100"}} {
		err := n.Send(t.Context(), note{kind: "x", to: []notify.Recipient{ann, bob, bad}})
		require.Error(t, err)
		rec.None()
	}
}

func TestSendReportsEachFailure(t *testing.T) {
	t.Parallel()
	rec := notifytest.New(t)
	n := build(t, notify.Options{Email: rec, Templates: files("x/subject.txt", "s", "x/email.txt", "t")})
	rec.Fail(notifytest.Fault{Kind: notify.ErrRejected})
	rec.Fail(notifytest.Fault{Kind: notify.ErrUnavailable})
	carl := notify.Recipient{ID: "carl", Email: "carl@example.com"}
	err := n.Send(t.Context(), note{kind: "x", to: []notify.Recipient{ann, bob, carl}})
	require.ErrorIs(t, err, notify.ErrRejected)
	require.ErrorIs(t, err, notify.ErrUnavailable)
	require.True(t, notify.Retryable(err), "one of them may succeed later")
	rec.One(notifytest.To("carl@example.com"))
}

func TestKeys(t *testing.T) {
	t.Parallel()
	rec := notifytest.New(t)
	n := build(t, notify.Options{Email: rec, SMS: rec, Tenant: tenantFrom})
	acme, globex := withTenant(t.Context(), "acme"), withTenant(t.Context(), "globex")
	m := notify.Message{To: ann, Subject: "s", Text: "t", Key: "fact-1"}
	moved := m
	moved.To.Email = "new@example.com"
	for _, step := range []struct {
		why  string
		ctx  context.Context
		m    notify.Message
		want int
	}{
		{"first", acme, m, 1},
		{"same fact", acme, m, 1},
		{"same person, new address", acme, moved, 1},
		{"another tenant", globex, m, 2},
		{"another person", acme, notify.Message{To: bob, Subject: "s", Text: "t", Key: "fact-1"}, 3},
		{"another channel", acme, notify.Message{To: ann, SMS: "x", Key: "fact-1"}, 4},
		{"no key", acme, notify.Message{To: ann, Subject: "s", Text: "t"}, 5},
		{"no key is a new fact", acme, notify.Message{To: ann, Subject: "s", Text: "t"}, 6},
	} {
		require.NoError(t, n.Send(step.ctx, step.m), step.why)
		require.Len(t, rec.All(), step.want, step.why)
	}
	for _, s := range rec.All() {
		require.Regexp(t, `^[0-9a-f]{32}$`, s.Key)
	}
}

func TestARecipientNamedTwiceIsToldOnce(t *testing.T) {
	t.Parallel()
	rec := notifytest.New(t)
	n := build(t, notify.Options{Email: rec, Templates: files("x/subject.txt", "s", "x/email.txt", "t")})
	require.NoError(t, n.Send(t.Context(), note{kind: "x", to: []notify.Recipient{ann, bob, ann}}))
	require.Len(t, rec.All(), 2)
}

type tenantKey struct{}

func withTenant(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, tenantKey{}, id)
}

func tenantFrom(ctx context.Context) (string, bool) {
	id, ok := ctx.Value(tenantKey{}).(string)
	return id, ok
}

func TestTenantFailsClosed(t *testing.T) {
	t.Parallel()
	rec := notifytest.New(t)
	queue := &queue{}
	for _, o := range []notify.Options{{SMS: rec, Tenant: tenantFrom}, {SMS: rec, Tenant: tenantFrom, Enqueue: queue.add}} {
		n := build(t, o)
		require.ErrorIs(t, n.Send(t.Context(), notify.Message{To: ann, SMS: "x"}), notify.ErrNoTenant)
		require.ErrorIs(t, n.Send(withTenant(t.Context(), ""), notify.Message{To: ann, SMS: "x"}), notify.ErrNoTenant)
	}
	rec.None()
	require.Empty(t, queue.tasks)

	// A task of a single-tenant program must not run in this one.
	single := build(t, notify.Options{SMS: rec, Enqueue: queue.add})
	require.NoError(t, single.Send(t.Context(), notify.Message{To: ann, SMS: "x"}))
	n := build(t, notify.Options{SMS: rec, Tenant: tenantFrom})
	require.ErrorIs(t, n.RunTask(t.Context(), queue.tasks[0].name, queue.tasks[0].payload), notify.ErrNoTenant)
	rec.None()
}

type task struct {
	name, key string
	payload   []byte
	runAt     time.Time
}

type queue struct {
	tasks []task
	err   error
}

func (q *queue) add(_ context.Context, name string, payload []byte, runAt time.Time, key string) error {
	if q.err != nil {
		return q.err
	}
	q.tasks = append(q.tasks, task{name, key, payload, runAt})
	return nil
}

func TestTasksCarryTheTenantAndTheText(t *testing.T) {
	t.Parallel()
	rec, q := notifytest.New(t), &queue{}
	var seen string
	spy := notify.EmailFunc(func(ctx context.Context, m notify.Email) (string, error) {
		seen, _ = tenantFrom(ctx)
		return rec.SendEmail(ctx, m)
	})
	n := build(t, notify.Options{
		Email: spy, SMS: rec, Tenant: tenantFrom, WithTenant: withTenant, Enqueue: q.add,
		Templates: files("x/subject.txt", "Hi {{.Name}}", "x/email.txt", "{{.Name}}", "x/email.html", "<b>{{.Name}}</b>", "x/sms.txt", "{{.Name}}"),
	})
	require.NoError(t, n.Send(withTenant(t.Context(), "acme"), note{kind: "x", Name: "Zoë <&>", to: []notify.Recipient{ann}}))
	rec.None()
	require.Len(t, q.tasks, 2, "one per channel, so that a retry repeats one message only")
	require.NotEqual(t, q.tasks[0].key, q.tasks[1].key)
	for _, task := range q.tasks {
		require.True(t, task.runAt.IsZero())
		for range 2 { // the queue may deliver twice
			require.NoError(t, n.RunTask(t.Context(), task.name, task.payload))
		}
	}
	require.Equal(t, "acme", seen)
	mail := rec.One(notifytest.On(notify.ChannelEmail))
	require.Equal(t, notifytest.Sent{
		Channel: "email", ID: mail.ID, Key: q.tasks[0].key, Kind: "x", Tenant: "acme", Name: ann.Name, To: ann.Email,
		Subject: "Hi Zoë <&>", Text: "Zoë <&>\n", HTML: "<b>Zoë &lt;&amp;&gt;</b>",
	}, mail)
	require.Equal(t, ann.Phone, rec.One(notifytest.On(notify.ChannelSMS)).To)
}

func TestEnqueueFailure(t *testing.T) {
	t.Parallel()
	rec, q := notifytest.New(t), &queue{err: errors.New("queue is down")}
	n := build(t, notify.Options{SMS: rec, Enqueue: q.add})
	m := notify.Message{To: ann, SMS: "x", Key: "k"}
	err := n.Send(t.Context(), m)
	require.ErrorIs(t, err, q.err)
	require.True(t, notify.Retryable(err))
	q.err = nil
	require.NoError(t, n.Send(t.Context(), m))
	require.NoError(t, n.Send(t.Context(), m))
	require.Equal(t, q.tasks[0].key, q.tasks[1].key, "the queue can recognise the repetition")
}

func TestForeignTasks(t *testing.T) {
	t.Parallel()
	rec, q := notifytest.New(t), &queue{}
	n := build(t, notify.Options{SMS: rec, Enqueue: q.add})
	require.NoError(t, n.Send(t.Context(), notify.Message{To: ann, SMS: "x"}))
	good := q.tasks[0]
	for name, c := range map[string]struct {
		name, payload string
		want          error
		retryable     bool
	}{
		"name":          {"invoice.send", string(good.payload), notify.ErrUnknownTask, false},
		"not JSON":      {good.name, "\x00", notify.ErrUnknownTask, false},
		"empty":         {good.name, "", notify.ErrUnknownTask, false},
		"huge":          {good.name, strings.Repeat(" ", 20<<20), notify.ErrUnknownTask, false},
		"newer release": {good.name, strings.Replace(string(good.payload), `"v":1`, `"v":2`, 1), notify.ErrUnknownTask, true},
		"channel":       {good.name, strings.Replace(string(good.payload), `"sms"`, `"pigeon"`, 1), notify.ErrInvalid, false},
		"address":       {good.name, strings.Replace(string(good.payload), ann.Phone, "+1\\r\\n", 1), notify.ErrInvalid, false},
	} {
		err := n.RunTask(t.Context(), c.name, []byte(c.payload))
		require.ErrorIs(t, err, c.want, name)
		require.Equal(t, c.retryable, notify.Retryable(err), name)
		require.NotContains(t, err.Error(), ann.Phone, name)
	}
	rec.None()
	mailOnly := build(t, notify.Options{Email: rec})
	err := mailOnly.RunTask(t.Context(), good.name, good.payload)
	require.ErrorIs(t, err, notify.ErrNoChannel)
	require.True(t, notify.Retryable(err), "another process may have the sender")
}

// spies record what the seams get.
type spies struct {
	mu      sync.Mutex
	reports []string
	metrics []string
}

func (s *spies) Report(_ context.Context, err error, stack []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reports = append(s.reports, err.Error()+"\n"+string(stack))
}

func (s *spies) Add(_ context.Context, name string, n float64, kv ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.metrics = append(s.metrics, fmt.Sprint(name, " ", n, " ", kv))
}

func TestPanickingSender(t *testing.T) {
	t.Parallel()
	boom := notify.SMSFunc(func(_ context.Context, m notify.SMS) (string, error) { panic("cannot send to " + m.To) })
	s := &spies{}
	n := build(t, notify.Options{SMS: boom, Errors: s, Metrics: s})
	err := n.Send(t.Context(), notify.Message{To: ann, SMS: "x"})
	require.ErrorIs(t, err, notify.ErrUncertain)
	require.NotContains(t, err.Error(), ann.Phone)
	require.Len(t, s.reports, 1)
	require.Contains(t, s.reports[0], "TestPanickingSender", "the stack names the culprit")
	require.Equal(t, []string{"notify.deliveries 1 [channel sms kind message result outcome_uncertain]"}, s.metrics)

	var log bytes.Buffer
	quiet := build(t, notify.Options{SMS: boom, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	require.Error(t, quiet.Send(t.Context(), notify.Message{To: ann, SMS: "x"}))
	require.Contains(t, log.String(), "TestPanickingSender")
	require.NotContains(t, log.String(), "4155550100")
}

// A sender written elsewhere may quote the address; we do not pass it on.
func TestForeignErrorsAreCleaned(t *testing.T) {
	t.Parallel()
	cause := errors.New("mailbox of ann@example.com is full")
	leaky := notify.EmailFunc(func(context.Context, notify.Email) (string, error) { return "", fmt.Errorf("oops: %w", cause) })
	err := build(t, notify.Options{Email: leaky}).Send(t.Context(), notify.Message{To: ann, Subject: "s", Text: "t"})
	require.NotContains(t, err.Error(), "ann@example.com")
	require.Contains(t, err.Error(), "is full")
	require.ErrorIs(t, err, cause)
	var e *notify.Error
	require.ErrorAs(t, err, &e)
	require.NotContains(t, e.Error(), "ann@example.com", "errors.As digs it out, and somebody logs that")
	require.ErrorIs(t, err, notify.ErrUncertain, "an unknown error does not say whether the message went out")
}

func TestLogsAndMetricsOfSuccess(t *testing.T) {
	t.Parallel()
	rec, s := notifytest.New(t), &spies{}
	var log bytes.Buffer
	n := build(t, notify.Options{
		Email: rec, SMS: rec, Metrics: s,
		Logger:    slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Templates: files("x/subject.txt", "s", "x/email.txt", "t", "x/sms.txt", "m"),
	})
	require.NoError(t, n.Send(t.Context(), note{kind: "x", to: []notify.Recipient{ann}}))
	require.Equal(t, []string{"notify.deliveries 1 [channel email kind x result sent]", "notify.deliveries 1 [channel sms kind x result sent]"}, s.metrics)
	require.Contains(t, log.String(), "recipient=ann provider_id=email-1")
	require.NotContains(t, log.String(), "example.com")
	require.NotContains(t, log.String(), "4155550100")

	log.Reset()
	build(t, notify.Options{Email: rec, Templates: files("x/sms.txt", "m"), Logger: slog.New(slog.NewTextHandler(&log, nil))})
	require.Contains(t, log.String(), "without a sender")
}

func TestTimeoutOption(t *testing.T) {
	t.Parallel()
	var left time.Duration
	var bounded bool
	spy := notify.SMSFunc(func(ctx context.Context, _ notify.SMS) (string, error) {
		end, ok := ctx.Deadline()
		left, bounded = time.Until(end), ok
		return "", nil
	})
	for timeout, want := range map[time.Duration]time.Duration{0: 30 * time.Second, time.Minute: time.Minute} {
		require.NoError(t, build(t, notify.Options{SMS: spy, Timeout: timeout}).Send(t.Context(), notify.Message{To: ann, SMS: "x"}))
		require.True(t, bounded)
		require.InDelta(t, want.Seconds(), left.Seconds(), 5)
	}
	require.NoError(t, build(t, notify.Options{SMS: spy, Timeout: -1}).Send(context.Background(), notify.Message{To: ann, SMS: "x"}))
	require.False(t, bounded)
}

func TestCancelledSendStops(t *testing.T) {
	t.Parallel()
	rec := notifytest.New(t)
	ctx, cancel := context.WithCancel(t.Context())
	once := notify.EmailFunc(func(ctx context.Context, m notify.Email) (string, error) {
		defer cancel()
		return rec.SendEmail(ctx, m)
	})
	n := build(t, notify.Options{Email: once, Templates: files("x/subject.txt", "s", "x/email.txt", "t")})
	err := n.Send(ctx, note{kind: "x", to: []notify.Recipient{ann, bob}})
	require.ErrorIs(t, err, context.Canceled)
	require.Len(t, rec.All(), 1)
}

func TestConcurrentSends(t *testing.T) {
	t.Parallel()
	rec := notifytest.New(t)
	n := build(t, notify.Options{Email: rec, Templates: files(
		"x/subject.txt", "{{.Name}}", "x/email.txt", "{{.Name}}", "x/email.html", "<p>{{.Name}}", "layout/email.html", "{{.Body}}{{.To.Name}}")})
	var group sync.WaitGroup
	for i := range 50 {
		group.Go(func() {
			name := fmt.Sprintf("n%02d", i)
			if err := n.Send(t.Context(), note{kind: "x", Name: name, to: []notify.Recipient{bob}}); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	for i := range 50 {
		name := fmt.Sprintf("n%02d", i)
		require.Equal(t, "<p>"+name+"Bob", rec.One(notifytest.Contains(name)).HTML)
	}
}
