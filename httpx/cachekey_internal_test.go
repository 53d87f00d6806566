package httpx

import (
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// asked is what a function can see of a request; zone and zones are lists, with bars between.
type asked struct {
	id, query, zone, zones, tenant, known, principal string
}

type keyed struct {
	ID    string   `path:"id"`
	Sort  []string `query:"sort"`
	Q     string   `query:"q"`
	Zone  []string `header:"zone"`
	Zones []string `header:"zones"`
}

// keyOf returns the key of a request, its query and its headers; ok is false for one that is refused before it has a key.
func keyOf(e *reader, a asked) (key string, query url.Values, header http.Header, ok bool) {
	target := "/k/" + url.PathEscape(a.id)
	if a.query != "" {
		target += "?" + a.query
	}
	query, err := url.ParseQuery(a.query)
	if err != nil {
		return "", nil, nil, false
	}
	header = http.Header{"Zone": strings.Split(a.zone, "|"), "Zones": strings.Split(a.zones, "|")}
	r := &http.Request{
		Method: "GET", RequestURI: target, URL: &url.URL{Path: "/k/" + a.id, RawQuery: a.query}, Header: header, Pattern: "GET /k/{id}",
	}
	r.SetPathValue("id", a.id)
	info := &Info{}
	set(info, &info.tenant, a.known)
	info.SetPrincipal(a.principal)
	return e.key(r, query, a.tenant, info), query, header, true
}

// FuzzReadKey: two requests share a key if and only if a function cannot tell them apart. Whoever could choose a value
// that flows over into the next one would read another's answer.
func FuzzReadKey(f *testing.F) {
	f.Add("1", "sort=a&sort=b", "eu", "", "acme", "acme", "ann", "1", "sort=a%26sort=b", "eu", "", "acme", "acme", "ann")
	f.Add("1", "q=a", "", "", "acme", "", "ann", "1", "q=a", "", "", "", "acme", "ann")
	f.Add("1", "q=a", "x", "", "", "", "", "1", "q=a", "", "x", "", "", "")
	f.Add("1", "q=&sort=", "", "", "t", "", "p", "1", "sort=&q=", "", "", "", "t", "p")
	f.Add("1", "", "a|b", "c", "", "", "", "1", "", "a", "b|c", "", "", "")
	f.Add("1", "", "a|", "b", "", "", "", "1", "", "a", "|b", "", "", "")
	f.Add("a/b", "", "a", "b", "", "", "principal", "a", "", "b", "a", "", "principal", "")
	f.Add("\x00\x00\x00\x00\x00\x00\x00\x01", "", "\x01", "", "", "", "", "\x01", "", "\x00\x00\x00\x00\x00\x00\x00\x01", "", "", "", "")
	e := &reader{name: "fn", binder: newBinder(reflect.TypeFor[keyed](), false)}
	f.Fuzz(func(t *testing.T, id1, query1, zone1, zones1, tenant1, known1, principal1, id2, query2, zone2, zones2, tenant2, known2, principal2 string) {
		a, b := asked{id1, query1, zone1, zones1, tenant1, known1, principal1}, asked{id2, query2, zone2, zones2, tenant2, known2, principal2}
		key1, values1, header1, ok1 := keyOf(e, a)
		key2, values2, header2, ok2 := keyOf(e, b)
		if !ok1 || !ok2 {
			return
		}
		a.query, b.query = "", "" // compared as what they say
		same := a == b && maps.EqualFunc(values1, values2, slices.Equal) && maps.EqualFunc(header1, header2, slices.Equal)
		if (key1 == key2) != same {
			t.Errorf("%+v %v and %+v %v: keys equal %v, requests equal %v", a, values1, b, values2, key1 == key2, same)
		}
	})
}
