package notify_test

import (
	"context"
	"errors"
	"fmt"
	"testing/fstest"
	"time"

	"github.com/ashlar-go/ashlar/notify"
	"github.com/ashlar-go/ashlar/notify/notifytest"
)

// The recorder stands in for sendgridmail.New(key, from, nil).
func ExampleNotifier_Send() {
	ctx := context.Background()
	mail := new(notifytest.Recorder)
	ann := notify.Recipient{ID: "user-1", Name: "Ann", Email: "ann@example.com"}

	n, err := notify.New(&notify.Options{Email: mail})
	if err != nil {
		panic(err)
	}
	err = n.Send(ctx, notify.Message{To: ann, Subject: "Hi", Text: "Welcome"})
	fmt.Println(err)
	for _, m := range mail.All() {
		fmt.Printf("%s: %s, %s\n", m.To, m.Subject, m.Text)
	}
	// Output:
	// <nil>
	// ann@example.com: Hi, Welcome
}

// IncidentOpened is a typed notification: the templates use its fields.
type IncidentOpened struct {
	ID      string
	Monitor string
	Since   time.Time
	Team    []notify.Recipient
}

func (IncidentOpened) Kind() string                     { return "incident.opened" }
func (i IncidentOpened) Recipients() []notify.Recipient { return i.Team }
func (i IncidentOpened) IdempotencyKey() string         { return i.ID } // tell each person once

func ExampleNotification() {
	// Usually an embed.FS.
	templates := fstest.MapFS{
		"incident.opened/subject.txt": {Data: []byte("{{.Monitor}} is down\n")},
		"incident.opened/email.txt":   {Data: []byte("{{.Monitor}} does not answer since {{.Since.Format \"15:04\"}}.\n")},
		"incident.opened/email.html":  {Data: []byte("<p><b>{{.Monitor}}</b> does not answer.</p>")},
		"incident.opened/sms.txt":     {Data: []byte("DOWN: {{.Monitor}}")},
		"layout/email.txt":            {Data: []byte("Hello {{.To.Name}},\n\n{{.Body}}\nYour Pulse")},
	}
	rec := new(notifytest.Recorder)
	n, err := notify.New(&notify.Options{
		Email: rec, SMS: rec, Templates: templates,
		Samples: []notify.Notification{IncidentOpened{Monitor: "api"}},
	})
	if err != nil {
		panic(err)
	}
	alert := IncidentOpened{ID: "incident-42", Monitor: "Shop <eu>", Since: time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC), Team: []notify.Recipient{
		{Name: "Ann", Email: "ann@example.com", Phone: "+14155550100"},
		{Name: "Bob", Email: "bob@example.com"},
	}}
	for range 2 { // the second time is a repetition
		if err := n.Send(context.Background(), alert); err != nil {
			panic(err)
		}
	}
	for _, m := range rec.All() {
		fmt.Printf("%s to %s: %q %q %q\n", m.Channel, m.To, m.Subject, m.Text, m.HTML)
	}
	// Output:
	// email to ann@example.com: "Shop <eu> is down" "Hello Ann,\n\nShop <eu> does not answer since 03:04.\n\nYour Pulse\n" "<p><b>Shop &lt;eu&gt;</b> does not answer.</p>"
	// sms to +14155550100: "" "DOWN: Shop <eu>" ""
	// email to bob@example.com: "Shop <eu> is down" "Hello Bob,\n\nShop <eu> does not answer since 03:04.\n\nYour Pulse\n" "<p><b>Shop &lt;eu&gt;</b> does not answer.</p>"
}

// A slice stands in for the job queue.
func ExampleNotifier_RunTask() {
	type task struct {
		name    string
		payload []byte
	}
	var queue []task
	rec := new(notifytest.Recorder)
	n, err := notify.New(&notify.Options{
		SMS: rec,
		Enqueue: func(_ context.Context, name string, payload []byte, _ time.Time, _ string) error {
			queue = append(queue, task{name, payload})
			return nil
		},
	})
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	if err := n.Send(ctx, notify.Message{To: notify.Recipient{Phone: "+14155550100"}, SMS: "Your code is 123456"}); err != nil {
		panic(err)
	}
	fmt.Println(len(queue), "queued,", len(rec.All()), "sent")

	rec.Fail(notifytest.Fault{Kind: notify.ErrUnavailable}) // the provider is down for one call
	for {
		err := n.RunTask(ctx, queue[0].name, queue[0].payload)
		fmt.Println(errors.Is(err, notify.ErrUnavailable), notify.Retryable(err))
		if !notify.Retryable(err) {
			break
		}
	}
	fmt.Println(rec.All()[0].Text)
	// Output:
	// 1 queued, 0 sent
	// true true
	// false false
	// Your code is 123456
}

func ExampleParsePhone() {
	fmt.Println(notify.ParsePhone("+1 (415) 555-0100"))
	_, err := notify.ParsePhone("415 555 0100")
	fmt.Println(err)
	// Output:
	// +14155550100 <nil>
	// notify: parse phone: invalid message: phone is not an E.164 number: + and 7 to 15 digits, country code first
}

func ExampleParseAddress() {
	a, err := notify.ParseAddress("Ann Lee <ann@example.com>")
	fmt.Println(a.Name, a.Email, err)
	_, err = notify.ParseAddress("ann@example.com\r\nBcc: evil@example.com")
	fmt.Println(errors.Is(err, notify.ErrInvalid))
	// Output:
	// Ann Lee ann@example.com <nil>
	// true
}
