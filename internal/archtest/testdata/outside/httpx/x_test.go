package outside

import (
	"context"
	"net/http"
	"testing"

	"github.com/ashlar-go/ashlar/httpx"
	"github.com/ashlar-go/ashlar/httpx/httpxtest"
)

type greeting struct {
	Text string `json:"text"`
}

type name struct {
	Name string `path:"name"`
}

func TestReadEndpoint(t *testing.T) {
	mux := http.NewServeMux()
	mux.Handle("GET /hello/{name}", httpx.Read(func(_ context.Context, in name) (greeting, error) {
		return greeting{Text: "Hello " + in.Name}, nil
	}, nil))
	var got greeting
	client := httpxtest.NewClient(t, httpx.Default(mux, nil))
	client.Get("/hello/Ann").RequireStatus(http.StatusOK).JSON(&got)
	if got.Text != "Hello Ann" {
		t.Errorf("got %q", got.Text)
	}
	client.Get("/nowhere").RequireStatus(http.StatusNotFound)
}
