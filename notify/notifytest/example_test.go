package notifytest_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/ashlar-go/ashlar/notify"
	"github.com/ashlar-go/ashlar/notify/notifytest"
)

// In a test, notifytest.New(t) gives the recorder its assertions One and None.
func ExampleRecorder() {
	rec := new(notifytest.Recorder)
	n, err := notify.New(&notify.Options{Email: rec, SMS: rec})
	if err != nil {
		panic(err)
	}
	signUp := func(email string) error {
		return n.Send(context.Background(), notify.Message{
			To: notify.Recipient{Email: email}, Subject: "Verify", Text: "Open https://acme.dev/verify?t=abc, code 123456.",
		})
	}

	fmt.Println(signUp("ann@example.com"))
	mail := rec.All(notifytest.To("ann@example.com"), notifytest.Contains("Verify"))[0]
	fmt.Println(mail.Link(), mail.Code(6))

	rec.Fail(notifytest.Fault{Channel: notify.ChannelEmail, Kind: notify.ErrRateLimited})
	err = signUp("bob@example.com")
	fmt.Println(errors.Is(err, notify.ErrRateLimited), notify.Retryable(err))
	// Output:
	// <nil>
	// https://acme.dev/verify?t=abc 123456
	// true true
}
