package httpx

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// key names everything that fn's answer can depend on: the function and its output type, the route, the path as the client
// wrote it (which http.StripPrefix does not change), the declared parameters, tenant and principal. It is a hash, so its length is bounded
// and clients cannot choose it.
func (e *reader) key(r *http.Request, query url.Values, tenant string, info *Info) string {
	h := sha256.New()
	add := func(s string) {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(s)))
		h.Write(n[:]) // lengths keep neighbours apart
		h.Write([]byte(s))
	}
	requested, _, _ := strings.Cut(r.RequestURI, "?")
	add(e.name)
	add(r.Pattern)
	add(requested)
	add(query.Encode()) // sorted, and without unknown names: bind refused those
	for _, f := range e.binder.fields {
		switch f.In {
		case "path":
			add(r.PathValue(f.Name))
		case "header":
			values := r.Header[f.Name]
			add(strconv.Itoa(len(values)))
			for _, v := range values {
				add(v)
			}
		}
	}
	add(tenant)
	add(info.Tenant()) // also for a cache that does not know tenants, and for Public: fn can read it
	if e.opts.Scope == PerPrincipal {
		add("principal")
		add(info.Principal())
	}
	return "httpx:" + base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// sealVersion changes when the stored form does.
const sealVersion = '1'

// seal returns what is stored: version, entity tag, body. A hit then costs no hashing.
func seal(body []byte) []byte {
	val := make([]byte, 0, 1+etagLen+len(body))
	val = append(val, sealVersion)
	val = append(val, etagOf(body)...)
	return append(val, body...)
}

func unseal(val []byte) (etag string, body []byte, err error) {
	if len(val) < 1+etagLen || val[0] != sealVersion || val[1] != '"' || val[etagLen] != '"' {
		return "", nil, errors.New("httpx: the cache returned a value that Read did not store")
	}
	return string(val[1 : 1+etagLen]), slices.Clip(val[1+etagLen:]), nil
}

func publicCacheControl(fresh, stale time.Duration) string {
	s := "public, max-age=" + seconds(fresh)
	if stale > 0 {
		s += ", stale-while-revalidate=" + seconds(stale)
	}
	return s
}

// describeCache sets Age (RFC 9111) and Cache-Status (RFC 9211).
func describeCache(h http.Header, a answer, fresh time.Duration) {
	const name = "ashlar"
	age := max(time.Since(a.stored), 0)
	switch a.status {
	case "hit", "stale":
		h.Set("Age", seconds(age))
		h.Set("Cache-Status", name+"; hit; ttl="+seconds(fresh-age))
	case "miss":
		h.Set("Cache-Status", name+"; fwd=miss; stored")
	case "unstored":
		h.Set("Cache-Status", name+"; fwd=miss; stored=?0")
	case "collapsed":
		h.Set("Cache-Status", name+"; fwd=miss; collapsed")
	case "bypass":
		h.Set("Cache-Status", name+"; fwd=bypass")
	default:
		h.Set("Cache-Status", name+"; detail="+quoted(clip(a.status, 40)))
	}
}

// quoted returns s as a string of structured fields (RFC 8941 section 3.3.3), which knows no character beyond ASCII and two escapes.
func quoted(s string) string {
	b := []byte{'"'}
	for _, c := range []byte(s) {
		switch {
		case c < 0x20 || c > 0x7e:
			c = '?'
		case c == '"' || c == '\\':
			b = append(b, '\\')
		}
		b = append(b, c)
	}
	return string(append(b, '"'))
}

// seconds rounds down, also below zero.
func seconds(d time.Duration) string {
	s := int64(d / time.Second)
	if d < 0 && d%time.Second != 0 {
		s--
	}
	return strconv.FormatInt(s, 10)
}
