package web

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"strings"

	"github.com/ashlar-go/ashlar/httpx"
)

// Operators lets those in who know the password, by HTTP Basic and under any
// name. An empty password lets all in who address this machine as such: a page
// of another site whose name leads here (DNS rebinding) is refused. Requests that
// were let in have no deadline: what the jobs dashboard does to all jobs of a
// filter takes as long as it takes.
func Operators(password string, next http.Handler) http.Handler {
	next = httpx.Deadline(-1)(next)
	want := sha256.Sum256([]byte(password))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case password == "" && !loopback(r.Host):
			http.Error(w, "this page is for those on this machine", http.StatusForbidden)
			return
		case password != "":
			_, given, _ := r.BasicAuth()
			got := sha256.Sum256([]byte(given)) // of one length, so that the time tells nothing of it
			if subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
				w.Header().Set("WWW-Authenticate", `Basic realm="pulse operators", charset="UTF-8"`)
				http.Error(w, "this page is for operators", http.StatusUnauthorized)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// loopback reports whether a Host header names this machine.
func loopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
