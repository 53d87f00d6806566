package outside

import (
	"testing"

	"github.com/ashlar-go/ashlar/notify"
	"github.com/ashlar-go/ashlar/notify/notifytest"
)

func TestWelcomeIsSent(t *testing.T) {
	sent := notifytest.New(t)
	n, err := notify.New(&notify.Options{Email: sent})
	if err != nil {
		t.Fatal(err)
	}
	ann := notify.Recipient{Name: "Ann", Email: "ann@example.com"}
	if err := n.Send(t.Context(), notify.Message{To: ann, Subject: "Hi", Text: "Welcome"}); err != nil {
		t.Fatal(err)
	}
	sent.One(notifytest.To("ann@example.com"), notifytest.Contains("Welcome"))
}
