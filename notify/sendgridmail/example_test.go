package sendgridmail_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/ashlar-go/ashlar/notify"
	"github.com/ashlar-go/ashlar/notify/sendgridmail"
)

func ExampleNew() {
	// A server that answers like SendGrid; a program leaves BaseURL empty.
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Println(r.URL.Path, string(body))
		w.WriteHeader(http.StatusAccepted)
	}))
	defer server.Close()

	mail, err := sendgridmail.New("SG.key", notify.Address{Email: "hi@acme.dev"}, &sendgridmail.Options{
		BaseURL: server.URL, HTTPClient: server.Client(),
	})
	if err != nil {
		panic(err)
	}
	n, err := notify.New(&notify.Options{Email: mail})
	if err != nil {
		panic(err)
	}
	ann := notify.Recipient{Name: "Ann", Email: "ann@example.com"}
	m := notify.Message{To: ann, Subject: "Hi", Text: "Welcome", Key: "welcome"}
	fmt.Println(n.Send(context.Background(), m))
	// Output:
	// /v3/mail/send {"from":{"email":"hi@acme.dev"},"subject":"Hi","personalizations":[{"to":[{"name":"Ann","email":"ann@example.com"}]}],"content":[{"type":"text/plain","value":"Welcome"}],"custom_args":{"delivery":"5df60d13fa49327881d7bd60bb418100"}}
	// <nil>
}
