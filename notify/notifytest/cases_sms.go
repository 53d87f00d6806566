package notifytest

import (
	"errors"
	"strings"
	"testing"

	"github.com/ashlar-go/ashlar/notify"
)

var smsCases = []struct {
	name string
	why  string
	body func(*testing.T, SMSHarness)
}{
	{"text arrives unchanged", "form encoding", func(t *testing.T, h SMSHarness) {
		for _, text := range []string{"code 123456", "a+b&c=d%20 €~^\\\nsecond line", "日本語 🚀", strings.Repeat("é", 1600)} {
			if _, err := h.Sender.SendSMS(t.Context(), notify.SMS{To: phoneTo, Text: text}); err != nil {
				t.Fatalf("send: %v", err)
			}
			list := h.Received()
			if got := list[len(list)-1]; got.Text != text || got.To != phoneTo {
				t.Errorf("arrived as %.80q to %q, want %.80q to %q", got.Text, got.To, text, phoneTo)
			}
		}
	}},
	{"malformed messages", "better here than at the provider", func(t *testing.T, h SMSHarness) {
		for _, m := range []notify.SMS{
			{},
			{To: phoneTo},
			{To: "4155550123", Text: "x"},
			{To: "+0155550123", Text: "x"},
			{To: phoneTo + "\r\n", Text: "x"},
			{To: "whatsapp:" + phoneTo, Text: "x"},
			{To: phoneTo, Text: strings.Repeat("x", 1601)},
			{To: phoneTo, Text: "\xff"},
		} {
			_, err := h.Sender.SendSMS(t.Context(), m)
			if !errors.Is(err, notify.ErrInvalid) || notify.Retryable(err) {
				t.Errorf("text %.20q: error %v, want ErrInvalid", m.Text, err)
			}
			discreet(t, err, append([]string{phoneTo}, h.Secrets...))
		}
		if n := len(h.Received()); n != 0 {
			t.Errorf("the provider accepted %d of them", n)
		}
	}},
}
