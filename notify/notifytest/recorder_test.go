package notifytest_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/notify"
	"github.com/ashlar-go/ashlar/notify/notifytest"
)

func fault(b notifytest.Behaviour) notifytest.Fault {
	return notifytest.Fault{Kind: map[notifytest.Behaviour]error{
		notifytest.Reject: notify.ErrRejected, notifytest.Unauthorized: notify.ErrUnauthorized,
		notifytest.Throttle: notify.ErrRateLimited, notifytest.Break: notify.ErrUnavailable,
		notifytest.Refuse: notify.ErrUnavailable, notifytest.LoseAnswer: notify.ErrUncertain,
	}[b]} // Hang: nil
}

func harness(t *testing.T) (notifytest.EmailHarness, *notifytest.Recorder) {
	rec := notifytest.New(t)
	return notifytest.EmailHarness{
		Sender: rec,
		Next:   func(b notifytest.Behaviour) { rec.Fail(fault(b)) },
		Received: func() (list []notify.Email) {
			for _, s := range rec.All(notifytest.On(notify.ChannelEmail)) {
				list = append(list, notify.Email{To: notify.Address{Name: s.Name, Email: s.To}, Subject: s.Subject, Text: s.Text, HTML: s.HTML})
			}
			return list
		},
	}, rec
}

func TestRecorderEmail(t *testing.T) {
	t.Parallel()
	notifytest.RunEmail(t, func(t *testing.T) notifytest.EmailHarness {
		h, _ := harness(t)
		return h
	}, notifytest.Features{Bubble: true})
}

func TestRecorderSMS(t *testing.T) {
	t.Parallel()
	notifytest.RunSMS(t, func(t *testing.T) notifytest.SMSHarness {
		rec := notifytest.New(t)
		return notifytest.SMSHarness{
			Sender: rec,
			Next:   func(b notifytest.Behaviour) { rec.Fail(fault(b)) },
			Received: func() (list []notify.SMS) {
				for _, s := range rec.All(notifytest.On(notify.ChannelSMS)) {
					list = append(list, notify.SMS{To: s.To, Text: s.Text})
				}
				return list
			},
		}
	}, notifytest.Features{Bubble: true})
}

func TestFinders(t *testing.T) {
	t.Parallel()
	rec := notifytest.New(t)
	ctx := t.Context()
	ann := notify.Address{Email: "ann@example.com"}
	_, err := rec.SendEmail(ctx, notify.Email{Kind: "auth.verify", To: ann, Subject: "Verify", Text: "Open https://acme.dev/v?t=1&u=2. Your code: 123456, not 99."})
	require.NoError(t, err)
	_, err = rec.SendEmail(ctx, notify.Email{Kind: "auth.reset", To: ann, Subject: "Reset", HTML: `<a href="https://acme.dev/r?a=1&amp;b=2">reset</a>`})
	require.NoError(t, err)
	_, err = rec.SendSMS(ctx, notify.SMS{Kind: "auth.code", To: "+14155550100", Text: "1234"})
	require.NoError(t, err)

	verify := rec.One(notifytest.To("ann@example.com"), notifytest.Kind("auth.verify"))
	require.Equal(t, "https://acme.dev/v?t=1&u=2", verify.Link())
	require.Equal(t, "123456", verify.Code(6))
	require.Empty(t, verify.Code(5))
	require.Equal(t, "https://acme.dev/r?a=1&b=2", rec.One(notifytest.Contains("reset")).Link())
	require.Equal(t, "1234", rec.One(notifytest.On(notify.ChannelSMS)).Text)
	rec.None(notifytest.To("bob@example.com"))
	require.Len(t, rec.All(), 3)
	rec.Reset()
	rec.None()
}

func TestFaultsEndAndHeal(t *testing.T) {
	t.Parallel()
	rec := notifytest.New(t)
	sms := notify.SMS{To: "+14155550100", Text: "x"}
	rec.Fail(notifytest.Fault{Channel: notify.ChannelEmail, Kind: notify.ErrRejected, Times: -1})
	rec.Fail(notifytest.Fault{Channel: notify.ChannelSMS, Kind: notify.ErrUnavailable, Times: 2})
	for range 2 {
		_, err := rec.SendSMS(t.Context(), sms)
		require.ErrorIs(t, err, notify.ErrUnavailable)
	}
	_, err := rec.SendSMS(t.Context(), sms)
	require.NoError(t, err)
	mail := notify.Email{To: notify.Address{Email: "ann@example.com"}, Subject: "x", Text: "x"}
	for range 3 {
		_, err = rec.SendEmail(t.Context(), mail)
		require.ErrorIs(t, err, notify.ErrRejected)
	}
	rec.Heal()
	_, err = rec.SendEmail(t.Context(), mail)
	require.NoError(t, err)
}

func TestNotifierTimeoutEndsAHang(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rec := notifytest.New(t)
		n, err := notify.New(&notify.Options{SMS: rec})
		require.NoError(t, err)
		rec.Fail(notifytest.Fault{})
		start := time.Now()
		err = n.Send(t.Context(), notify.Message{To: notify.Recipient{Phone: "+14155550100"}, SMS: "x"})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 30*time.Second, time.Since(start))
	})
}
