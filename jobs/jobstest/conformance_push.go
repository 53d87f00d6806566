package jobstest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

func pushCases() []testCase {
	return []testCase{
		{"jobs leave in the order they came", "a queue is first in, first out", func(s *suite) {
			s.equal("holders", []string{"", "", ""}, s.push(plain("c"), plain("b"), plain("a")))
			s.push(plain("d"))
			s.join("w", time.Minute)
			batch := s.exchange("w", 10)
			s.equal("order", []string{"c", "b", "a", "d"}, ids(batch.Jobs))
			s.equal("body", "body of c", string(batch.Jobs[0].Body))
			s.equal("next", true, batch.Next < 0)
			s.stats(driver.Stats{Running: 4})
			s.finish("w", "c", "b", "a", "d")
			s.stats(driver.Stats{})
		}},
		{"an id is stored once", "clients repeat calls whose answer got lost", func(s *suite) {
			s.push(plain("a"), plain("a"))
			s.equal("holders", []string{""}, s.push(driver.Job{ID: "a", Body: []byte("other")}))
			s.join("w", time.Minute)
			batch := s.exchange("w", 10)
			s.equal("ids", []string{"a"}, ids(batch.Jobs))
			s.equal("body", "body of a", string(batch.Jobs[0].Body))
			s.equal("while it runs", []string{""}, s.push(plain("a")))
			s.stats(driver.Stats{Running: 1})
		}},
		{"an empty push does nothing", "batches may turn out empty", func(s *suite) {
			s.equal("holders", 0, len(s.push()))
			s.stats(driver.Stats{})
		}},
		{"bodies are opaque", "they may be encrypted", func(s *suite) {
			body := bytes.Repeat([]byte{0, 0xff, '\n', ' ', '"'}, 60_000)
			s.push(driver.Job{ID: "big", Body: slices.Clone(body), Tenant: "tenant with blanks\n"})
			s.join("w", time.Minute)
			batch := s.exchange("w", 1)
			s.equal("body", true, bytes.Equal(body, batch.Jobs[0].Body))
			s.finish("w", "big")
			// A store may know what most bodies begin with.
			opening := `{"v":1,"kind":"`
			bodies := []string{"", "=", "a", "a=", "20000", opening, opening[:9], opening + `"`, opening + "=", opening + opening, opening + `a"}`, "=" + opening + `a"}`, " " + opening}
			var odd []driver.Job
			for i, text := range bodies {
				odd = append(odd, driver.Job{ID: fmt.Sprint("odd", i), Body: []byte(text), Tenant: "20000"[:i%5]})
			}
			s.push(odd...)
			for _, j := range s.exchange("w", len(odd)).Jobs {
				var i int
				_, err := fmt.Sscanf(j.ID, "odd%d", &i)
				s.must(err)
				s.equal("body", bodies[i], string(j.Body))
			}
		}},
		{"a unique key is held until the job is finished", "double clicks must not send two invoices", func(s *suite) {
			unique := func(id string) driver.Job { return driver.Job{ID: id, Body: []byte(id), Unique: "key"} }
			s.equal("first", []string{"", "a", ""}, s.push(unique("a"), unique("b"), plain("c")))
			s.equal("the same again", []string{""}, s.push(unique("a")))
			s.join("w", time.Minute)
			s.take("w", 2)
			s.equal("while it runs", []string{"a"}, s.push(unique("d")))
			s.exchange("w", 0, driver.Outcome{ID: "a", Action: driver.Retry})
			s.equal("between attempts", []string{"a"}, s.push(unique("d")))
			s.equal("retried", []string{"a"}, s.take("w", 2))
			s.finish("w", "a", "c")
			s.equal("afterwards", []string{""}, s.push(unique("d")))
		}},
		{"a dead job does not hold its key", "a schedule must not stop for ever", func(s *suite) {
			s.push(driver.Job{ID: "a", Unique: "key"})
			s.join("w", time.Minute)
			s.take("w", 1)
			s.exchange("w", 0, driver.Outcome{ID: "a", Action: driver.Bury})
			s.equal("after death", []string{""}, s.push(driver.Job{ID: "b", Unique: "key"}))
			n, err := s.d.Resolve(s.Context(), []string{"a"}, driver.Requeue)
			s.must(err)
			s.equal("requeued", 1, n)
			s.take("w", 2)
			s.finish("w", "a")
			s.equal("the new holder keeps it", []string{"b"}, s.push(driver.Job{ID: "c", Unique: "key"}))
		}},
	}
}

func takenCases() []testCase {
	return []testCase{
		{"an id of another tenant is refused", "two customers may choose the same one", func(s *suite) {
			job := func(id, tenant string, change func(*driver.Job)) driver.Job {
				j := driver.Job{ID: id, Tenant: tenant, Body: []byte(tenant)}
				if change != nil {
					change(&j)
				}
				return j
			}
			push := func(batch ...driver.Job) []driver.Pushed {
				s.Helper()
				pushed, err := s.d.Push(s.Context(), driver.Push{Jobs: batch})
				s.must(err)
				return pushed
			}
			fine, taken := driver.Pushed{}, driver.Pushed{Taken: true}
			s.equal("first", []driver.Pushed{fine}, push(job("a", "acme", nil)))
			for _, other := range []string{"globex", "acm", "acme1", ""} {
				s.equal("alone", []driver.Pushed{taken}, push(job("a", other, nil)))
			}
			s.equal("the same tenant", []driver.Pushed{fine}, push(job("a", "acme", nil)))
			s.equal("among others", []driver.Pushed{fine, taken, fine, fine, fine, taken}, push(
				job("b", "globex", nil), job("a", "globex", nil), job("c", "globex", nil),
				job("d", "", nil), job("a", "acme", nil), job("b", "acme", nil)))
			later := func(j *driver.Job) { j.Delay = time.Hour }
			unique := func(j *driver.Job) { j.Unique = "key" }
			s.equal("put off", []driver.Pushed{taken, taken}, push(job("a", "globex", later), job("a", "globex", nil)))
			s.equal("unique", []driver.Pushed{taken}, push(job("a", "globex", unique)))
			s.equal("its key is free", []driver.Pushed{fine}, push(job("e", "globex", unique)))
			s.stats(driver.Stats{Ready: 5})
			s.join("w", time.Minute)
			bodies := map[string]string{}
			for _, j := range s.exchange("w", 9).Jobs {
				bodies[j.ID] = string(j.Body)
			}
			s.equal("bodies", map[string]string{"a": "acme", "b": "globex", "c": "globex", "d": "", "e": "globex"}, bodies)
			s.equal("while it runs", []driver.Pushed{taken}, push(job("a", "globex", nil)))
			s.exchange("w", 0, driver.Outcome{ID: "a", Action: driver.Finish, Keep: time.Hour}, driver.Outcome{ID: "b", Action: driver.Finish})
			s.equal("while it is kept", []driver.Pushed{taken, fine}, push(job("a", "globex", nil), job("b", "acme", nil)))
		}},
	}
}

func fairnessCases() []testCase {
	return []testCase{
		{"tenants take turns", "one tenant's import must not delay all others", func(s *suite) {
			s.push(many("big", "big", 400)...)
			s.join("w", time.Minute)
			s.take("w", 50)
			s.push(many("small", "small", 3)...)
			s.push(many("tiny", "", 1)...)
			next := s.take("w", 10)
			for _, id := range []string{"small0000", "small0001", "small0002", "tiny0000"} {
				s.equal(id+" is among the next ten", true, slices.Contains(next, id))
			}
		}},
		{"an ended context is an error", "callers must not think the job is stored", func(s *suite) {
			ctx, cancel := context.WithCancel(s.Context())
			cancel()
			_, err := s.d.Push(ctx, driver.Push{Jobs: []driver.Job{plain("a")}})
			s.equal("error", true, err != nil)
			s.stats(driver.Stats{})
		}},
	}
}
