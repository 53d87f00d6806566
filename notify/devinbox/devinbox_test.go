package devinbox_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/notify"
	"github.com/ashlar-go/ashlar/notify/devinbox"
	"github.com/ashlar-go/ashlar/notify/notifytest"
)

func open(t *testing.T, opts *devinbox.Options) *devinbox.Inbox {
	in, err := devinbox.New(opts)
	require.NoError(t, err)
	return in
}

func TestConformance(t *testing.T) {
	t.Parallel()
	for name, dir := range map[string]func(*testing.T) string{
		"memory":    func(*testing.T) string { return "" },
		"directory": func(t *testing.T) string { return t.TempDir() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := notifytest.Features{NoFaults: true}
			notifytest.RunEmail(t, func(t *testing.T) notifytest.EmailHarness {
				in := open(t, &devinbox.Options{Dir: dir(t)})
				return notifytest.EmailHarness{Sender: in, Received: func() (list []notify.Email) {
					for _, m := range oldestFirst(in) {
						list = append(list, notify.Email{To: notify.Address{Name: m.Name, Email: m.To}, Subject: m.Subject, Text: m.Text, HTML: m.HTML})
					}
					return list
				}}
			}, f)
			notifytest.RunSMS(t, func(t *testing.T) notifytest.SMSHarness {
				in := open(t, &devinbox.Options{Dir: dir(t)})
				return notifytest.SMSHarness{Sender: in, Received: func() (list []notify.SMS) {
					for _, m := range oldestFirst(in) {
						list = append(list, notify.SMS{To: m.To, Text: m.Text})
					}
					return list
				}}
			}, f)
		})
	}
}

func oldestFirst(in *devinbox.Inbox) []devinbox.Message {
	list := in.Messages()
	for i, j := 0, len(list)-1; i < j; i, j = i+1, j-1 {
		list[i], list[j] = list[j], list[i]
	}
	return list
}
