package probe_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/examples/pulse/probe"
)

func TestCheckTellsTheTruth(t *testing.T) {
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/broken":
			http.Error(w, "no", http.StatusInternalServerError)
		case "/moved":
			http.Redirect(w, r, "/", http.StatusFound)
		case "/round":
			http.Redirect(w, r, "/round", http.StatusFound)
		case "/hangup":
			panic(http.ErrAbortHandler)
		}
	}))
	defer site.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	closed := "http://" + l.Addr().String()
	require.NoError(t, l.Close())

	p := probe.New(&probe.Options{AllowPrivate: true})
	for target, want := range map[string]struct {
		status  int
		failure string
	}{
		site.URL:                         {200, ""},
		site.URL + "/moved":              {200, ""},
		site.URL + "/broken":             {500, "HTTP 500 Internal Server Error"},
		site.URL + "/round":              {0, "the request failed"},
		site.URL + "/hangup":             {0, "the connection was closed without an answer"},
		closed:                           {0, "connection refused"},
		"http://no.such.name.invalid":    {0, "the name does not resolve"},
		"https" + site.URL[len("http"):]: {0, "the request failed"},
	} {
		r, err := p.Check(t.Context(), target)
		require.NoError(t, err)
		require.Equal(t, want.status, r.Status, target)
		require.Equal(t, want.failure, r.Failure, target)
		require.False(t, r.At.IsZero())
		require.NotContains(t, r.Failure, "127.0.0.1")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = p.Check(ctx, site.URL)
	require.ErrorIs(t, err, context.Canceled, "our own end says nothing about the site")
}

func TestPrivateAddressesAreRefused(t *testing.T) {
	site := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("reached") }))
	defer site.Close()
	_, port, err := net.SplitHostPort(strings.TrimPrefix(site.URL, "http://"))
	require.NoError(t, err)
	p := probe.New(nil)
	for _, host := range []string{
		"127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1",
		"169.254.169.254", "100.64.0.1", "[fe80::1]", "[fc00::1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "224.0.0.1",
		"255.255.255.255", "2130706433", "0x7f.1", "[::7f00:1]", "[fec0::1]", "[100::1]", "[3fff::1]",
	} {
		r, err := p.Check(t.Context(), "http://"+net.JoinHostPort(strings.Trim(host, "[]"), port))
		require.NoError(t, err)
		require.Contains(t, []string{"refused: the address is private", "the name does not resolve"}, r.Failure, host)
	}
}
