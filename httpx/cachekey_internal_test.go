package httpx

import (
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"testing"
)

// asked is what a function can see of a request.
type asked struct {
	id, query, zone, zones, tenant, known, principal string
}

type keyed struct {
	ID    string   `path:"id"`
	Sort  []string `query:"sort"`
	Q     string   `query:"q"`
	Zone  string   `header:"zone"`
	Zones []string `header:"zones"`
}

// keyOf returns the key of a request and what the key must stand for.
func keyOf(e *reader, a asked) (key string, query url.Values, zones []string, ok bool) {
	path := "/k/" + url.PathEscape(a.id)
	target := path
	if a.query != "" {
		target += "?" + a.query
	}
	query, err := url.ParseQuery(a.query)
	if err != nil {
		return "", nil, nil, false
	}
	r := &http.Request{
		Method: "GET", RequestURI: target, URL: &url.URL{Path: "/k/" + a.id, RawQuery: a.query},
		Header: http.Header{"Zone": {a.zone}, "Zones": {a.zones, a.zone}}, Pattern: "GET /k/{id}",
	}
	if a.zones == "" {
		r.Header["Zones"] = []string{a.zone}
	}
	r.SetPathValue("id", a.id)
	info := &Info{}
	set(info, &info.tenant, a.known)
	info.SetPrincipal(a.principal)
	return e.key(r, query, a.tenant, info), query, r.Header["Zones"], true
}

// FuzzReadKey: two requests share a key if and only if a function cannot tell them apart. Whoever could choose a value
// that flows over into the next one would read another's answer.
func FuzzReadKey(f *testing.F) {
	f.Add("1", "sort=a&sort=b", "eu", "", "acme", "acme", "ann", "1", "sort=a%26sort=b", "eu", "", "acme", "acme", "ann")
	f.Add("1", "q=a", "", "", "acme", "", "ann", "1", "q=a", "", "", "", "acme", "ann")
	f.Add("1", "q=a", "x", "", "", "", "", "1", "q=a", "", "x", "", "", "")
	f.Add("1", "q=&sort=", "", "", "t", "", "p", "1", "sort=&q=", "", "", "", "t", "p")
	f.Add("a/b", "", "a", "b", "", "", "principal", "a", "", "b", "a", "", "principal", "")
	f.Add("\x00\x00\x00\x00\x00\x00\x00\x01", "", "\x01", "", "", "", "", "\x01", "", "\x00\x00\x00\x00\x00\x00\x00\x01", "", "", "", "")
	e := &reader{name: "fn", binder: newBinder(reflect.TypeFor[keyed](), false)}
	f.Fuzz(func(t *testing.T, id1, query1, zone1, zones1, tenant1, known1, principal1, id2, query2, zone2, zones2, tenant2, known2, principal2 string) {
		a, b := asked{id1, query1, zone1, zones1, tenant1, known1, principal1}, asked{id2, query2, zone2, zones2, tenant2, known2, principal2}
		key1, values1, list1, ok1 := keyOf(e, a)
		key2, values2, list2, ok2 := keyOf(e, b)
		if !ok1 || !ok2 {
			return // refused before there is a key
		}
		a.query, b.query, a.zones, b.zones = "", "", "", ""
		same := a == b && maps.EqualFunc(values1, values2, slices.Equal) && slices.Equal(list1, list2)
		if (key1 == key2) != same {
			t.Errorf("%+v %v %q and %+v %v %q: keys equal %v, requests equal %v", a, values1, list1, b, values2, list2, key1 == key2, same)
		}
	})
}
