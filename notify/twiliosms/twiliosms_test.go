package twiliosms_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twilio/twilio-go/client"

	"github.com/ashlar-go/ashlar/notify"
	"github.com/ashlar-go/ashlar/notify/internal/providertest"
	"github.com/ashlar-go/ashlar/notify/notifytest"
	"github.com/ashlar-go/ashlar/notify/twiliosms"
)

const (
	sid   = "AC0123456789abcdef0123456789abcdef"
	token = "secretTOKEN0123456789"
	from  = "+15005550006"
)

// fake is Twilio's Messages API.
type fake struct {
	*providertest.Server
	mu       sync.Mutex
	received []notify.SMS
	forms    []url.Values
}

func open(t *testing.T) *fake {
	f := &fake{}
	refusal := func(status, code int, message string, header map[string]string) func([]byte) providertest.Answer {
		return func(body []byte) providertest.Answer {
			form, _ := url.ParseQuery(string(body))
			text, _ := json.Marshal(map[string]any{
				"code": code, "status": status, "message": fmt.Sprintf(message, form.Get("To")),
				"more_info": fmt.Sprintf("https://www.twilio.com/docs/errors/%d", code), "details": map[string]string{"to": form.Get("To")},
			})
			return providertest.Answer{Status: status, Header: header, Body: string(text)}
		}
	}
	f.Server = providertest.New(t, &providertest.Server{Accept: f.accept, Answers: map[notifytest.Behaviour]func([]byte) providertest.Answer{
		notifytest.Reject:       refusal(400, 21211, "The 'To' number %s is not a valid phone number", nil),
		notifytest.Unauthorized: refusal(401, 20003, "Authenticate "+token+" for %s", nil),
		notifytest.Throttle:     refusal(429, 20429, "Too Many Requests to %s", map[string]string{"Retry-After": "7"}),
		notifytest.Break:        refusal(500, 20500, "internal error with %s", nil),
	}})
	return f
}

func (f *fake) accept(r *http.Request, body []byte) providertest.Answer {
	user, password, _ := r.BasicAuth()
	if user != sid || password != token {
		return providertest.Answer{Status: 401, Body: `{"code":20003,"status":401}`}
	}
	form, err := url.ParseQuery(string(body))
	if err != nil || r.Method != "POST" || r.URL.Path != "/2010-04-01/Accounts/"+sid+"/Messages.json" ||
		r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" || form.Get("To") == "" || form.Get("Body") == "" ||
		form.Has("From") == form.Has("MessagingServiceSid") {
		return providertest.Answer{Status: 400, Body: `{"code":20001,"status":400}`}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.forms = append(f.forms, form)
	f.received = append(f.received, notify.SMS{To: form.Get("To"), Text: form.Get("Body")})
	return providertest.Answer{Status: 201, Body: fmt.Sprintf(`{"sid":"SM%032d","status":"queued"}`, len(f.received))}
}

func (f *fake) list() []notify.SMS {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]notify.SMS(nil), f.received...)
}

func (f *fake) sender(t *testing.T, from string) *twiliosms.Sender {
	s, err := twiliosms.New(sid, token, from, &twiliosms.Options{BaseURL: f.URL, HTTPClient: f.Client(t)})
	require.NoError(t, err)
	return s
}

func TestConformance(t *testing.T) {
	t.Parallel()
	notifytest.RunSMS(t, func(t *testing.T) notifytest.SMSHarness {
		f := open(t)
		return notifytest.SMSHarness{Sender: f.sender(t, from), Received: f.list, Next: f.Next, Secrets: []string{sid, token, from}}
	}, notifytest.Features{NoDedupe: true})
}

var sms = notify.SMS{Key: "d1", To: "+14155550100", Text: "x"}

func TestMessagingService(t *testing.T) {
	t.Parallel()
	f := open(t)
	service := "MG" + strings.Repeat("0", 32)
	id, err := f.sender(t, service).SendSMS(t.Context(), sms)
	require.NoError(t, err)
	require.Equal(t, "SM"+strings.Repeat("0", 31)+"1", id)
	require.Equal(t, service, f.forms[0].Get("MessagingServiceSid"))
}

func TestRefusalKeepsTheCode(t *testing.T) {
	t.Parallel()
	f := open(t)
	f.Next(notifytest.Reject)
	_, err := f.sender(t, from).SendSMS(t.Context(), sms)
	require.EqualError(t, err, "twiliosms: send: rejected by the provider: HTTP status 400: Twilio error 21211: The 'To' number [redacted] is not a valid phone number")
	var sdk *client.TwilioRestError
	require.ErrorAs(t, err, &sdk)
	require.Equal(t, 21211, sdk.Code)
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	f := open(t)
	f.Next(notifytest.Throttle)
	_, err := f.sender(t, from).SendSMS(t.Context(), sms)
	var e *notify.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, 7*time.Second, e.RetryAfter)
}

func TestAnswersThatAreNotTwilios(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status int
		body   string
		want   error
	}{
		{502, "<html>bad gateway</html>", notify.ErrUncertain},
		{400, "", notify.ErrRejected},
		{400, `{"code":21611}`, notify.ErrRateLimited}, // the account's queue is full
		{201, "", notify.ErrUncertain},                 // accepted? the answer was cut
		{201, `{}`, nil},
		{307, "", notify.ErrUnavailable},
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(c.status)
			fmt.Fprint(w, c.body)
		}))
		s, err := twiliosms.New(sid, token, from, &twiliosms.Options{BaseURL: srv.URL})
		require.NoError(t, err)
		_, err = s.SendSMS(t.Context(), sms)
		require.ErrorIs(t, err, c.want, "status %d, body %q", c.status, c.body)
		srv.Close()
	}
}

// The stock client of twilio-go leaks a connection, with its goroutines, per
// refusal whose body it does not read to the end.
func TestRefusalsDoNotLeak(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, "<html>"+strings.Repeat("a proxy's page ", 4000))
	}))
	defer srv.Close()
	s, err := twiliosms.New(sid, token, from, &twiliosms.Options{BaseURL: srv.URL, HTTPClient: &http.Client{
		Transport: &http.Transport{DisableKeepAlives: true},
	}})
	require.NoError(t, err)
	before := runtime.NumGoroutine()
	for range 50 {
		_, err := s.SendSMS(t.Context(), sms)
		require.ErrorIs(t, err, notify.ErrRejected)
	}
	require.Eventually(t, func() bool { return runtime.NumGoroutine() < before+20 }, time.Minute, 10*time.Millisecond)
}

// The SDK would let these choose another host.
func TestEnvironmentIsIgnored(t *testing.T) {
	t.Setenv("TWILIO_EDGE", "dublin")
	t.Setenv("TWILIO_REGION", "ie1")
	f := open(t)
	_, err := f.sender(t, from).SendSMS(t.Context(), sms)
	require.NoError(t, err)
}

func TestNewChecksArguments(t *testing.T) {
	t.Parallel()
	for _, bad := range [][4]string{
		{"", token, from, ""},
		{"AC/../../x", token, from, ""},
		{sid, "", from, ""},
		{sid, "to ken", from, ""},
		{sid, token, "", ""},
		{sid, token, "a\nb", ""},
		{sid, token, from, "://"},
	} {
		_, err := twiliosms.New(bad[0], bad[1], bad[2], &twiliosms.Options{BaseURL: bad[3]})
		require.Error(t, err)
		require.NotContains(t, err.Error(), token)
	}
}

// The root package and the other products of twilio-go cost a minute of compile time.
func TestImportsOnlyTheMessagesAPI(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("go", "list", "-deps", ".").CombinedOutput()
	require.NoError(t, err, string(out))
	for dep := range strings.FieldsSeq(string(out)) {
		if strings.HasPrefix(dep, "github.com/twilio/twilio-go") {
			allowed := strings.HasPrefix(dep, "github.com/twilio/twilio-go/client") || dep == "github.com/twilio/twilio-go/rest/api/v2010"
			require.True(t, allowed, dep)
		}
	}
}
