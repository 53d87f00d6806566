package httpx_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/httpx"
	"github.com/ashlar-go/ashlar/httpx/httpxtest"
)

type rename struct {
	ID   int      `path:"id" json:"-"`
	Name string   `json:"name"`
	Tags []string `json:"tags"`
}

type renamed struct {
	ID   int    `json:"id"`
	Name string `json:"name"`
}

func doRename(_ context.Context, in rename) (renamed, error) {
	return renamed{in.ID, in.Name}, nil
}

func TestWriteIsStrict(t *testing.T) {
	t.Parallel()
	db := &httpxtest.DB{}
	c := httpxtest.NewClient(t, stack(route("/n/{id}", httpx.Write(db, doRename, nil)), httpx.DefaultOptions{MaxBody: 100}))
	r := c.Do("PUT", "/n/7", `{"name":"x"}`).RequireStatus(200).RequireHeader("Cache-Control", "no-store").RequireHeader("Content-Type", "application/json")
	require.Equal(t, `{"id":7,"name":"x"}`, string(r.Body))
	require.Equal(t, 1, db.Commits())

	c.Post("/n/7", `{"id":8}`).RequireProblem(422, "invalid_input") // mass assignment
	c.Post("/n/7", `{"ID":8}`).RequireProblem(422, "invalid_input")
	c.Post("/n/7", `{"name":"a","name":"b"}`).RequireProblem(422, "invalid_input")
	c.Post("/n/7", `{"name":"a"}{}`).RequireProblem(400, "malformed_json")
	c.Post("/n/7", ``).RequireProblem(400, "malformed_json")
	c.Post("/n/7", strings.NewReader(` `)).RequireProblem(400, "malformed_json")
	c.Post("/n/7", `{"name":"`+strings.Repeat("x", 100)+`"}`).RequireProblem(413, "body_too_large")
	c.Post("/n/x", `{"name":"a"}`).RequireProblem(404, "not_found")
	c.Post("/n/7?x=1", `{"name":"a"}`).RequireProblem(400, "invalid_parameters")
	for _, typ := range []string{"text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin1", "json", ""} {
		c.With("Content-Type", typ).Post("/n/7", `{"name":"a"}`).RequireHeader("Accept", "application/json").RequireProblem(415, "unsupported_media_type")
	}
	c.With("Content-Type", "Application/JSON; charset=UTF-8").Post("/n/7", `{"name":"a"}`).RequireStatus(200)
	c.With("Content-Encoding", "gzip").Post("/n/7", `{"name":"a"}`).RequireProblem(415, "unsupported_content_encoding")
	c.Get("/n/7").RequireHeader("Allow", "POST, PUT, PATCH, DELETE").RequireProblem(405, "method_not_allowed")
	c.With("Accept", "text/html").Post("/n/7", `{"name":"a"}`).RequireProblem(406, "not_acceptable")
	require.Equal(t, 2, db.Commits())
	require.Zero(t, db.Rollbacks(), "a refused request opened a unit of work")
}

func TestWriteWithoutBody(t *testing.T) {
	t.Parallel()
	type remove struct {
		ID int `path:"id" json:"-"`
	}
	deleted := 0
	h := httpx.Write(nil, func(_ context.Context, in remove) (struct{}, error) { deleted = in.ID; return struct{}{}, nil }, nil)
	c := httpxtest.NewClient(t, route("DELETE /n/{id}", h))
	r := c.Do("DELETE", "/n/7", nil).RequireStatus(204)
	require.Empty(t, r.Body)
	require.NotContains(t, r.Header, "Content-Type")
	require.Equal(t, 7, deleted)
	c.Do("DELETE", "/n/8", "{}").RequireStatus(204)
	c.Do("DELETE", "/n/9", `{"x":1}`).RequireProblem(422, "invalid_input")
	require.Equal(t, 8, deleted)
}

func TestWriteValidates(t *testing.T) {
	t.Parallel()
	db := &httpxtest.DB{}
	c := httpxtest.NewClient(t, httpx.Write(db, (&Notes{}).Create, nil))
	p := c.Post("/", `{"body":""}`).RequireProblem(422, "invalid_input")
	require.Equal(t, "/body", p["errors"].([]any)[0].(map[string]any)["pointer"])
	c = httpxtest.NewClient(t, httpx.Write(db, func(context.Context, sentence) (int, error) { return 0, nil }, nil))
	require.Equal(t, "a sentence ends with a full stop", c.Post("/", `{"text":"hm"}`).RequireProblem(422, "invalid_input")["detail"])
	c.Post("/", `{"text":"fine."}`).RequireStatus(200)
	require.Equal(t, 1, db.Commits())
	require.Zero(t, db.Rollbacks())
}

// An error of Validate that the program maps is not shown as it is.
func TestWriteValidateIsMapped(t *testing.T) {
	t.Parallel()
	mapper := func(err error) *httpx.Problem {
		if errors.Is(err, errQuota) {
			return httpx.NewProblem(402, "quota", "")
		}
		return nil
	}
	h := httpx.Write(nil, func(context.Context, greedy) (int, error) { return 0, nil }, nil)
	c := httpxtest.NewClient(t, httpx.Problems(mapper)(h))
	c.Post("/", "{}").RequireProblem(402, "quota")
}

type greedy struct {
	N int `json:"n"`
}

func (greedy) Validate() error { return fmt.Errorf("too much: %w", errQuota) }

type sentence struct {
	Text string `json:"text"`
}

func (s *sentence) Validate() error {
	if !strings.HasSuffix(s.Text, ".") {
		return errors.New("a sentence ends with a full stop")
	}
	return nil
}

// What cannot be answered must not be committed, and what was not committed must not look like a success.
func TestWriteIsOneUnitOfWork(t *testing.T) {
	t.Parallel()
	db, cache, rows := &httpxtest.DB{}, &httpxtest.Cache{}, 0
	add := func(ctx context.Context) {
		rows++
		httpxtest.OnRollback(ctx, func() { rows-- })
	}
	opts := &httpx.WriteOptions{Cache: cache, Tags: []string{"rows"}, Logger: quiet()}
	write := func(fn func(context.Context, struct{}) (any, error)) *httpxtest.Client {
		return httpxtest.NewClient(t, stack(httpx.Write(db, fn, opts), httpx.DefaultOptions{}))
	}
	write(func(ctx context.Context, _ struct{}) (any, error) { add(ctx); return 1, nil }).Post("/", nil).RequireStatus(200)
	require.Equal(t, 1, rows)
	write(func(ctx context.Context, _ struct{}) (any, error) { add(ctx); return make(chan int), nil }).Post("/", nil).RequireProblem(500, "internal")
	write(func(ctx context.Context, _ struct{}) (any, error) {
		add(ctx)
		return nil, httpx.NewProblem(409, "taken", "")
	}).Post("/", nil).RequireProblem(409, "taken")
	write(func(ctx context.Context, _ struct{}) (any, error) { add(ctx); panic("boom") }).Post("/", nil).RequireProblem(500, "internal")
	db.FailCommits(errors.New("connection lost"))
	write(func(ctx context.Context, _ struct{}) (any, error) { add(ctx); return 1, nil }).Post("/", nil).RequireProblem(500, "internal")
	require.Equal(t, 1, rows, "a failed request left its row behind")
	require.Equal(t, 1, db.Commits())
	require.Equal(t, 4, db.Rollbacks())
}

func TestWriteRepeatsWithAFreshInput(t *testing.T) {
	t.Parallel()
	db := &httpxtest.DB{}
	var seen []string
	fn := func(_ context.Context, in rename) (string, error) {
		seen = append(seen, fmt.Sprint(in))
		in.Tags[0] = "changed by the first run"
		return in.Tags[0], nil
	}
	c := httpxtest.NewClient(t, route("POST /n/{id}", httpx.Write(db, fn, nil)))
	db.Repeat(2)
	c.Post("/n/7", `{"name":"x","tags":["a"]}`).RequireStatus(200)
	require.Equal(t, []string{"{7 x [a]}", "{7 x [a]}", "{7 x [a]}"}, seen)
	require.Equal(t, 1, db.Commits())
}

func TestWriteInvalidatesAfterTheCommit(t *testing.T) {
	t.Parallel()
	db, cache, logs, found := &httpxtest.DB{}, &httpxtest.Cache{}, &logBook{}, &reports{}
	name := "old"
	mux := http.NewServeMux()
	mux.Handle("GET /n/{id}", httpx.Read(func(_ context.Context, in struct {
		ID int `path:"id"`
	},
	) (string, error) {
		return name, nil
	}, &httpx.ReadOptions{Cache: cache, Fresh: time.Hour, Tags: []string{"n:{id}"}}))
	mux.Handle("PUT /n/{id}", httpx.Write(db, func(ctx context.Context, in rename) (renamed, error) {
		previous := name
		name = in.Name
		httpxtest.OnRollback(ctx, func() { name = previous })
		return renamed{in.ID, in.Name}, nil
	}, &httpx.WriteOptions{Cache: cache, Tags: []string{"n:{id}"}, Logger: logs.logger()}))
	c := httpxtest.NewClient(t, stack(mux, httpx.DefaultOptions{Errors: found}))
	get := func(path string) string { return string(c.Get(path).RequireStatus(200).Body) }
	require.Equal(t, `"old"`, get("/n/1"))
	require.Equal(t, `"old"`, get("/n/2"))
	c.Do("PUT", "/n/1", `{"name":"new"}`).RequireStatus(200)
	require.Equal(t, `"new"`, get("/n/1"), "the writer does not read its own write")
	require.Equal(t, `"old"`, get("/n/2"), "another note was dropped too")

	db.FailCommits(errors.New("connection lost"))
	c.Do("PUT", "/n/1", `{"name":"lost"}`).RequireStatus(500)
	require.Contains(t, c.Get("/n/1").Header.Get("Cache-Status"), "; hit;", "dropped although nothing was committed")
	db.FailCommits(nil)

	cache.FailInvalidations(errors.New("redis is down"))
	c.Do("PUT", "/n/1", `{"name":"third"}`).RequireStatus(200)
	require.Contains(t, logs.String(), "redis is down")
	require.Len(t, found.all(), 2) // the failed commit before, and this
}

// A client that leaves after the commit must not leave the old answer in the cache.
func TestWriteInvalidatesForClientsThatLeft(t *testing.T) {
	t.Parallel()
	cache := &httpxtest.Cache{}
	ctx, leave := context.WithCancel(t.Context())
	h := httpx.Write(nil, func(context.Context, struct{}) (struct{}, error) { leave(); return struct{}{}, nil },
		&httpx.WriteOptions{Cache: cache, Tags: []string{"x"}, Logger: quiet()})
	load := func(context.Context) ([]byte, error) { return []byte("v"), nil }
	for _, want := range []string{"miss", "miss"} {
		_, _, status, err := cache.GetOrLoad(t.Context(), "k", time.Hour, 0, []string{"x"}, load)
		require.NoError(t, err)
		require.Equal(t, want, status)
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, "POST", "/", nil))
	}
}

func TestWriteLocation(t *testing.T) {
	t.Parallel()
	fn := func(_ context.Context, in rename) (renamed, error) { return renamed{in.ID, in.Name}, nil }
	c := httpxtest.NewClient(t, route("POST /t/{id}", httpx.Write(nil, fn, &httpx.WriteOptions{Location: "/t/{id}/n/{name}"})))
	c.Post("/t/5", `{"name":"a/b c?"}`).RequireStatus(201).RequireHeader("Location", "/t/5/n/a%2Fb%20c%3F")
	long := strings.Repeat("long", 100)
	c.Post("/t/5", `{"name":"`+long+`"}`).RequireHeader("Location", "/t/5/n/"+long)
	c = httpxtest.NewClient(t, route("POST /t/{id}", httpx.Write(nil, fn, &httpx.WriteOptions{Status: 202})))
	c.Post("/t/5", `{"name":"x"}`).RequireStatus(202)
}

// A tag of a Write must be spelled as that of the Read it drops, whatever the types of the fields.
func TestTagsAreSpelledTheSame(t *testing.T) {
	t.Parallel()
	type in struct {
		Day  time.Time      `path:"day"`
		Span *time.Duration `query:"span"`
	}
	type out struct {
		Day  *time.Time `json:"day"`
		Span string     `json:"span"`
	}
	cache, reads := &httpxtest.Cache{}, 0
	mux := http.NewServeMux()
	mux.Handle("GET /{day}", httpx.Read(func(context.Context, in) (int, error) { reads++; return reads, nil },
		&httpx.ReadOptions{Cache: cache, Fresh: time.Hour, Tags: []string{"{day}/{span}"}}))
	mux.Handle("POST /", httpx.Write(nil, func(_ context.Context, o out) (*out, error) { return &o, nil },
		&httpx.WriteOptions{Cache: cache, Tags: []string{"{day}/{span}"}}))
	c := httpxtest.NewClient(t, mux)
	const day = "2026-11-24T00:00:00Z"
	read := func(query string) string { return string(c.Get("/" + day + query).RequireStatus(200).Body) }
	require.Equal(t, "1", read("?span=90s"))
	require.Equal(t, "2", read(""))
	c.Post("/", map[string]any{"day": day, "span": "1m30s"}).RequireStatus(200)
	require.Equal(t, "3", read("?span=90s"))
	require.Equal(t, "2", read(""), "another tag was dropped too")
	c.Post("/", map[string]any{"day": day}).RequireStatus(200)
	require.Equal(t, "4", read(""))
	c.Post("/", "{}").RequireStatus(200) // a nil pointer on the way is an empty name
}

func TestWriteMaxBody(t *testing.T) {
	t.Parallel()
	big := `{"name":"` + strings.Repeat("x", 2<<20) + `"}`
	mux := http.NewServeMux()
	mux.Handle("POST /small/{id}", httpx.Write(nil, doRename, nil))
	mux.Handle("POST /big/{id}", httpx.Write(nil, doRename, &httpx.WriteOptions{MaxBody: 4 << 20}))
	mux.Handle("POST /free/{id}", httpx.Write(nil, doRename, &httpx.WriteOptions{MaxBody: -1}))
	for _, h := range []http.Handler{mux, stack(mux, httpx.DefaultOptions{})} {
		c := httpxtest.NewClient(t, h)
		c.Post("/small/1", big).RequireProblem(413, "body_too_large")
		c.Post("/big/1", big).RequireStatus(200)
		c.Post("/free/1", big).RequireStatus(200)
	}
}

func TestWriteTenantSeam(t *testing.T) {
	t.Parallel()
	db := &httpxtest.DB{}
	h := httpx.Write(db, (&Notes{}).Create, &httpx.WriteOptions{Tenant: tenantFrom})
	httpxtest.NewClient(t, h).Post("/", `{"body":"x"}`).RequireProblem(500, "internal")
	require.Zero(t, db.Commits()+db.Rollbacks())
	tenant := httpx.Tenant(func(r *http.Request) (string, error) { return r.Header.Get("X-Team"), nil }, withTenant)
	c := httpxtest.NewClient(t, tenant(h))
	c.With("X-Team", "acme").Post("/", `{"body":"x"}`).RequireStatus(200)
	c.Post("/", `{"body":"x"}`).RequireProblem(404, "tenant_not_found")
	c.With("X-Team", strings.Repeat("x", 256)).Post("/", `{"body":"x"}`).RequireProblem(404, "tenant_not_found")
	require.Equal(t, 1, db.Commits())
}

func TestWritePanicsOnMisuse(t *testing.T) {
	t.Parallel()
	for name, misuse := range map[string]func(){
		"body could set the path field": func() {
			httpx.Write(nil, func(context.Context, struct {
				ID int `path:"id"`
			},
			) (int, error) {
				return 0, nil
			}, nil)
		},
		"nil function":       func() { httpx.Write[rename, renamed](nil, nil, nil) },
		"tags without cache": func() { httpx.Write(nil, doRename, &httpx.WriteOptions{Tags: []string{"x"}}) },
		"tag names nothing": func() {
			httpx.Write(nil, doRename, &httpx.WriteOptions{Cache: &httpxtest.Cache{}, Tags: []string{"{x}"}})
		},
		"location names nothing": func() { httpx.Write(nil, doRename, &httpx.WriteOptions{Location: "/{x}"}) },
		"input is a pointer": func() {
			httpx.Write(nil, func(context.Context, *rename) (int, error) { return 0, nil }, nil)
		},
		"status is no success": func() { httpx.Write(nil, doRename, &httpx.WriteOptions{Status: 302}) },
		"input has a channel": func() {
			httpx.Write(nil, func(context.Context, struct{ C chan int }) (int, error) { return 0, nil }, nil)
		},
	} {
		require.Panics(t, misuse, name)
	}
}

// The body of a client that goes away in the middle is nobody's error.
func TestWriteClientGoesAway(t *testing.T) {
	t.Parallel()
	found, db, logs := &reports{}, &httpxtest.DB{}, &logBook{}
	url, c := serve(t, stack(httpx.Write(db, (&Notes{}).Create, nil), httpx.DefaultOptions{Errors: found, Logger: logs.logger()}))
	ctx, leave := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, "POST", url, leaving{leave})
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/json")
	_, err = c.Do(r)
	require.Error(t, err)
	require.Eventually(t, func() bool { return len(logs.requests(t)) == 1 }, time.Minute, time.Millisecond)
	require.Empty(t, found.all())
	require.Equal(t, "INFO", logs.requests(t)[0]["level"])
	require.Equal(t, "canceled", logs.requests(t)[0]["code"])
	require.Zero(t, db.Commits())
}

// A body whose framing breaks is no body.
func TestWriteRefusesBrokenChunks(t *testing.T) {
	t.Parallel()
	db := &httpxtest.DB{}
	url, _ := serve(t, stack(httpx.Write(db, (&Notes{}).Create, nil), httpx.DefaultOptions{}))
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	require.NoError(t, err)
	defer conn.Close()
	fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nd\r\n"+`{"body":"hi"}`+"\r\nx\r\n")
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	require.Contains(t, text(res), `"code":"malformed_body"`)
	require.Zero(t, db.Commits())
}

// leaving is a body that never ends because its client leaves.
type leaving struct{ leave func() }

func (l leaving) Read(p []byte) (int, error) {
	l.leave()
	return copy(p, `{"body":`), nil
}
