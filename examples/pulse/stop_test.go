package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestCtrlCFinishesRequestsAndGivesJobsBack stops pulse while a request is
// half sent and a check waits for its site.
func TestCtrlCFinishesRequestsAndGivesJobsBack(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, 10)
	answer := make(chan struct{})
	site := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		select {
		case <-answer:
		case <-r.Context().Done():
		}
	}))
	defer site.Close()
	dir, port := dataDir(t), freePort(t)
	p := start(t, dir, port)
	var team struct {
		Key string `json:"api_key"`
	}
	require.Equal(t, 201, p.call("POST", "/signup", "", map[string]string{"team": "Acme", "slug": "acme", "email": "ops@acme.example"}, &team))
	var monitor struct{ ID string }
	require.Equal(t, 201, p.call("POST", "/monitors", team.Key, map[string]string{"name": "Slow", "url": site.URL, "interval": "1h"}, &monitor))
	<-asked // the check is in flight

	const body = `{"team":"Late","slug":"late","email":"ops@late.example"}`
	conn, err := net.Dial("tcp", "127.0.0.1:"+port)
	require.NoError(t, err)
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "POST /signup HTTP/1.1\r\nHost: pulse\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body[:10])
	require.NoError(t, err)
	// Another request on another connection proves that the server has had
	// time to read the first one's header.
	require.Equal(t, 200, p.call("GET", "/livez", "", nil, nil))

	signalled := time.Now()
	require.NoError(t, p.cmd.Process.Signal(os.Interrupt))
	eventually(t, "new connections are refused", func() bool {
		c, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	_, err = io.WriteString(conn, body[10:])
	require.NoError(t, err)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	require.Equal(t, 201, res.StatusCode, "the request that was in flight is finished")
	p.end(signalled)
	require.NotContains(t, p.logs.String(), "panic")

	// The check was given back: it runs again after the next start, an hour
	// before its schedule would.
	close(answer)
	p = start(t, dir, port)
	eventually(t, "the check that was given back", func() bool {
		var m struct{ State string }
		p.call("GET", "/monitors/"+monitor.ID, team.Key, nil, &m)
		return m.State == "up"
	})
	require.Equal(t, 409, p.call("POST", "/signup", "", map[string]string{"team": "Late", "slug": "late", "email": "ops@late.example"}, nil),
		"the team of the request in flight is there")
}
