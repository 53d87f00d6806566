// Command quickstart is Ashlar in one file and without a service: the blocks
// run on the fakes that come with them. It serves notes of teams: a write in a
// unit of work, a read from the cache, and a job.
//
//	go run ./examples/quickstart
//	curl -H 'Team: acme' -H 'Content-Type: application/json' localhost:8080/notes -d '{"body":"hi"}'
//	curl -H 'Team: acme' localhost:8080/notes
//	curl -H 'Team: globex' localhost:8080/notes
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/ashlar-go/ashlar/cache"
	"github.com/ashlar-go/ashlar/cache/cachetest"
	"github.com/ashlar-go/ashlar/httpx"
	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/jobstest"
	"github.com/ashlar-go/ashlar/jobs/outboxjobs"
	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/outbox"
	"github.com/ashlar-go/ashlar/tenancy/tenancytest"
)

// Note is what a team writes down.
type Note struct {
	ID   int    `json:"id"`
	Body string `json:"body"`
}

// NoteAdded is an event: it exists if and only if its note was committed.
type NoteAdded struct{ Body string }

// EventType names the event.
func (NoteAdded) EventType() string { return "note.added" }

// CountWords is a job.
type CountWords struct {
	Body string `json:"body"`
}

// Kind names the job.
func (CountWords) Kind() string { return "notes.count_words" }

type service struct {
	db    *tenancy.DB
	notes *tenancytest.Table[int, Note] // with PostgreSQL: SQL on tenancy.Tx
}

// add is the write: a plain function, run inside a unit of work by its
// endpoint, and callable from jobs and tests just so.
func (s *service) add(ctx context.Context, in Note) (Note, error) {
	err := s.db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		all, err := s.notes.All(ctx)
		if err != nil {
			return err
		}
		in.ID = len(all) + 1
		tx.Emit(NoteAdded{Body: in.Body})
		// The job is stored with the note, all or nothing, and the relay carries
		// it into the queue. Enqueued after the commit it would be lost with a
		// process that dies in between.
		if err := outboxjobs.Enqueue(tx, CountWords{Body: in.Body}, nil); err != nil {
			return err
		}
		return s.notes.Put(ctx, in.ID, in)
	})
	return in, err
}

// list is the read; its answer is cached per team until the next write.
func (s *service) list(ctx context.Context, _ struct{}) ([]Note, error) {
	return s.notes.All(ctx)
}

// newServer wires the blocks. Only the first four lines know of fakes.
func newServer(counted func(team string, words int)) (http.Handler, []func(context.Context) error, error) {
	kit := tenancytest.NewKit()                  // tenancy.New(pool, nil)
	db, driver := kit.DB(), jobstest.NewDriver() // redisjobs.New(rdb, nil)
	store := cachetest.NewStore()                // rediscache.New(rdb, nil)
	notes := tenancytest.NewTable[int, Note](kit)

	queue, err := jobs.New(driver, &jobs.Options{Tenant: tenancy.IDFrom, WithTenant: tenancy.WithID})
	if err != nil {
		return nil, nil, err
	}
	hub, err := cache.New(store, &cache.Options{Tenant: tenancy.IDFrom})
	if err != nil {
		return nil, nil, err
	}
	jobs.Handle(queue, func(ctx context.Context, job CountWords) error {
		team, _ := tenancy.IDFrom(ctx) // the job runs for the team that enqueued it
		counted(team, len(strings.Fields(job.Body)))
		return nil
	})

	sink, err := outboxjobs.NewSink(driver, nil)
	if err != nil {
		return nil, nil, err
	}
	relay, err := outbox.New(db, sink, nil)
	if err != nil {
		return nil, nil, err
	}

	svc := &service{db: db, notes: notes}
	team := httpx.Tenant(func(r *http.Request) (string, error) { return r.Header.Get("Team"), nil }, tenancy.WithID)
	mux := http.NewServeMux()
	mux.Handle("GET /notes", team(httpx.Read(svc.list, &httpx.ReadOptions{Cache: hub, Fresh: time.Minute, Tags: []string{"notes"}})))
	mux.Handle("POST /notes", team(httpx.Write(db, svc.add, &httpx.WriteOptions{Cache: hub, Tags: []string{"notes"}, Status: http.StatusCreated})))
	return httpx.Default(mux, nil), []func(context.Context) error{queue.Run, hub.Run, relay.Run}, nil
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	handler, workers, err := newServer(func(team string, words int) { fmt.Printf("%s wrote %d words\n", team, words) })
	if err == nil {
		err = httpx.Run(ctx, "127.0.0.1:8080", handler, &httpx.RunOptions{Workers: workers})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}
