package stripetest

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// answer is a response, remembered under its idempotency key.
type answer struct {
	request string
	status  int
	body    any
}

func (a answer) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(a.status)
	_ = json.NewEncoder(w).Encode(a.body) // the only error is a client that left
}

type object = map[string]any

func ok(o object) answer { return answer{status: http.StatusOK, body: o} }

// fail is Stripe's error body.
func fail(status int, typ, code, param, message string) *answer {
	e := object{"type": typ, "message": message}
	if code != "" {
		e["code"] = code
	}
	if param != "" {
		e["param"] = param
	}
	return &answer{status: status, body: object{"error": e}}
}

func invalid(code, param, message string) answer {
	return *fail(http.StatusBadRequest, "invalid_request_error", code, param, message)
}

// missing is 404 for an object in the path and 400 for one in a parameter, as at Stripe.
func missing(kind, id, param string) answer {
	status := http.StatusNotFound
	if param != "id" {
		status = http.StatusBadRequest
	}
	return *fail(status, "invalid_request_error", "resource_missing", param, fmt.Sprintf("No such %s: '%s'", kind, id))
}

// parse reads parameters from the query of a GET and the form body of a POST.
func parse(r *http.Request, body []byte) (url.Values, *answer) {
	raw := r.URL.RawQuery
	if r.Method == http.MethodPost {
		if len(body) > 0 && !strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
			return nil, fail(http.StatusBadRequest, "invalid_request_error", "", "", "the body is not form-encoded")
		}
		raw = string(body)
	}
	params, err := url.ParseQuery(raw)
	if err != nil {
		return nil, fail(http.StatusBadRequest, "invalid_request_error", "", "", "malformed parameters")
	}
	return params, nil
}

// endpoint is one operation with the parameters it knows.
type endpoint struct {
	method, path string // path ends in "/" if an id follows
	params       *regexp.Regexp
	run          func(s *Server, id string, p url.Values) answer
}

var endpoints = []endpoint{
	{"POST", "/v1/customers", regexp.MustCompile(`^metadata\[[^]]+\]$`), (*Server).postCustomer},
	{"GET", "/v1/prices", regexp.MustCompile(`^(active|limit|lookup_keys\[\d*\])$`), (*Server).getPrices},
	{"POST", "/v1/checkout/sessions", regexp.MustCompile(`^(mode|customer|success_url|cancel_url|line_items\[0\]\[(price|quantity)\]|` +
		`subscription_data\[(trial_period_days|metadata\]\[[^]]+)\])$`), (*Server).postCheckout},
	{"POST", "/v1/billing_portal/sessions", regexp.MustCompile(`^(customer|return_url)$`), (*Server).postPortal},
	{"GET", "/v1/subscriptions/", regexp.MustCompile(`^$`), (*Server).getSubscription},
}

// route finds the endpoint and refuses parameters it does not know, as Stripe does.
func (s *Server) route(r *http.Request, p url.Values) answer {
	for _, e := range endpoints {
		id := ""
		if strings.HasSuffix(e.path, "/") {
			id = strings.TrimPrefix(r.URL.Path, e.path)
		}
		if r.Method != e.method || r.URL.Path != e.path+id {
			continue
		}
		for name := range p {
			if !e.params.MatchString(name) {
				return invalid("parameter_unknown", name, "Received unknown parameter: "+name)
			}
		}
		return e.run(s, id, p)
	}
	return *fail(http.StatusNotFound, "invalid_request_error", "", "", "Unrecognized request URL ("+r.Method+": "+r.URL.Path+").")
}

// sub collects "prefix[name]" parameters.
func sub(p url.Values, prefix string) map[string]string {
	m := map[string]string{}
	for k := range p {
		if name, ok := strings.CutPrefix(k, prefix+"["); ok {
			m[strings.TrimSuffix(name, "]")] = p.Get(k)
		}
	}
	return m
}

func (s *Server) postCustomer(_ string, p url.Values) answer {
	id := "cus_" + rand.Text()[:14]
	s.customers[id] = sub(p, "metadata")
	return ok(object{"id": id, "object": "customer", "livemode": false, "metadata": s.customers[id], "created": time.Now().Unix()})
}

func (s *Server) getPrices(_ string, p url.Values) answer {
	want := map[string]bool{}
	for k, v := range p {
		if strings.HasPrefix(k, "lookup_keys") {
			for _, key := range v {
				want[key] = true
			}
		}
	}
	data := []object{}
	for _, price := range s.prices {
		if len(want) == 0 || want[price.LookupKey] {
			data = append(data, price.object())
		}
	}
	return ok(object{"object": "list", "url": "/v1/prices", "has_more": false, "data": data})
}

func (s *Server) postCheckout(_ string, p url.Values) answer {
	price := s.prices[p.Get("line_items[0][price]")]
	quantity, err := strconv.Atoi(p.Get("line_items[0][quantity]"))
	trial, trialErr := strconv.Atoi(p.Get("subscription_data[trial_period_days]"))
	switch {
	case p.Get("mode") != "subscription":
		return invalid("parameter_invalid_string", "mode", "the fake sells subscriptions only")
	case p.Get("success_url") == "":
		return invalid("parameter_missing", "success_url", "Missing required param: success_url.")
	case s.customers[p.Get("customer")] == nil:
		return missing("customer", p.Get("customer"), "customer")
	case price == nil:
		return missing("price", p.Get("line_items[0][price]"), "line_items[0][price]")
	case err != nil || quantity != 1:
		return invalid("parameter_invalid_integer", "line_items[0][quantity]", "the fake sells one at a time")
	case p.Has("subscription_data[trial_period_days]") && (trialErr != nil || trial < 1 || trial > 730):
		return invalid("parameter_invalid_integer", "subscription_data[trial_period_days]", "Invalid integer")
	}
	id := "cs_test_" + rand.Text()
	s.sessions[id] = &session{
		customer: p.Get("customer"), price: price, trialDays: trial,
		metadata: sub(p, "subscription_data[metadata]"),
	}
	return ok(object{
		"id": id, "object": "checkout.session", "livemode": false, "mode": "subscription", "status": "open",
		"customer": p.Get("customer"), "url": s.url + "/c/pay/" + id, "subscription": nil,
	})
}

func (s *Server) postPortal(_ string, p url.Values) answer {
	if s.customers[p.Get("customer")] == nil {
		return missing("customer", p.Get("customer"), "customer")
	}
	id := "bps_" + rand.Text()[:14]
	return ok(object{
		"id": id, "object": "billing_portal.session", "livemode": false, "customer": p.Get("customer"),
		"url": s.url + "/p/session/" + id, "return_url": p.Get("return_url"),
	})
}

func (s *Server) getSubscription(id string, _ url.Values) answer {
	sub := s.subs[id]
	if sub == nil {
		return missing("subscription", id, "id")
	}
	return ok(s.subscription(sub))
}
