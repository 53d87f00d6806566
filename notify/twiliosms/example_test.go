package twiliosms_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/ashlar-go/ashlar/notify"
	"github.com/ashlar-go/ashlar/notify/twiliosms"
)

func ExampleNew() {
	// A server that answers like Twilio; a program leaves BaseURL empty.
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Println(r.PostFormValue("From"), r.PostFormValue("To"), r.PostFormValue("Body"))
		w.WriteHeader(http.StatusCreated)
		fmt.Fprint(w, `{"sid": "SM1"}`)
	}))
	defer server.Close()

	sms, err := twiliosms.New("AC0123456789abcdef0123456789abcdef", "token", "+15005550006", &twiliosms.Options{
		BaseURL: server.URL, HTTPClient: server.Client(),
	})
	if err != nil {
		panic(err)
	}
	n, err := notify.New(&notify.Options{SMS: sms})
	if err != nil {
		panic(err)
	}
	fmt.Println(n.Send(context.Background(), notify.Message{To: notify.Recipient{Phone: "+14155550100"}, SMS: "Code 123456"}))
	// Output:
	// +15005550006 +14155550100 Code 123456
	// <nil>
}
