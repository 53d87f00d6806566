package devinbox_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/ashlar-go/ashlar/notify"
	"github.com/ashlar-go/ashlar/notify/devinbox"
)

func ExampleNew() {
	inbox, err := devinbox.New(&devinbox.Options{Max: 100})
	if err != nil {
		panic(err)
	}
	n, err := notify.New(&notify.Options{Email: inbox, SMS: inbox})
	if err != nil {
		panic(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/inbox/", http.StripPrefix("/inbox", inbox)) // look at /inbox/ in a browser

	err = n.Send(context.Background(), notify.Message{
		To:      notify.Recipient{Name: "Ann", Email: "ann@example.com", Phone: "+14155550100"},
		Subject: "Your code", Text: "It is 123456.", SMS: "Code 123456",
	})
	if err != nil {
		panic(err)
	}

	server := httptest.NewServer(mux)
	defer server.Close()
	res, err := http.Get(server.URL + "/inbox/messages.json?channel=sms")
	if err != nil {
		panic(err)
	}
	defer res.Body.Close()
	var list struct {
		Total    int
		Messages []devinbox.Message
	}
	if err := json.NewDecoder(res.Body).Decode(&list); err != nil {
		panic(err)
	}
	fmt.Println(list.Total, len(list.Messages), list.Messages[0].To, list.Messages[0].Text)
	// Output: 2 1 +14155550100 Code 123456
}
