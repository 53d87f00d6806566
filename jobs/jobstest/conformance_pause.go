package jobstest

import (
	"fmt"
	"slices"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

func pauseCases() []testCase {
	return []testCase{
		{"a paused queue starts nothing", "an operator stops it to look", func(s *suite) {
			s.push(some("acme", 3)...)
			s.join("w", time.Minute)
			held := s.take("w", 1)
			s.pause(wholeQueue)
			batch := s.exchange("w", 5)
			s.equal("taken", 0, len(batch.Jobs))
			s.equal("ready to be taken", 0, batch.Ready)
			s.equal("time alone changes nothing", true, batch.Next < 0)
			s.push(of("plain", "", "new"))
			s.finish("w", held...)
			s.stats(driver.Stats{Ready: 3})
			s.resume(wholeQueue)
			s.equal("resumed", 3, len(s.all("w", 5)))
		}},
		{"a paused tenant is parked and comes back in order", "one tenant's trouble is not the others'", func(s *suite) {
			s.push(some("acme", 4)...)
			s.push(some("globex", 2)...)
			s.pause(acme)
			s.join("w", time.Minute)
			s.equal("the others", []string{"globex-000", "globex-001"}, s.all("w", 10))
			s.stats(driver.Stats{Parked: 4, Running: 2})
			s.equal("listed", 4, len(s.list(driver.Parked, 0, 10)))
			s.equal("state", driver.Parked, s.list(driver.Parked, 0, 1)[0].State)
			s.push(of("plain", "acme", "new"))
			s.equal("still paused", 0, len(s.all("w", 10)))
			s.resume(acme)
			s.equal("order", []string{"acme-000", "acme-001", "acme-002", "acme-003", "new"}, s.all("w", 10))
			s.finish("w", "acme-000", "acme-001", "acme-002", "acme-003", "new", "globex-000", "globex-001")
			s.stats(driver.Stats{})
		}},
		{"what came while a tenant was parked stays behind", "a tenant's jobs keep their order", func(s *suite) {
			s.push(some("acme", 3)...)
			s.pause(acme)
			s.join("w", time.Minute)
			s.equal("paused", 0, len(s.all("w", 10)))
			s.resume(acme)
			s.push(of("plain", "acme", "new"))
			order := []string{}
			for range 4 {
				order = append(order, s.all("w", 1)...)
			}
			s.equal("order", []string{"acme-000", "acme-001", "acme-002", "new"}, order)
		}},
		{"pauses are independent", "two operators may look at two things", func(s *suite) {
			s.push(of("mail", "acme", "a"), of("mail", "", "b"), of("plain", "acme", "c"))
			s.pause(acme)
			s.pause(mail)
			s.join("w", time.Minute)
			s.equal("all held", 0, len(s.all("w", 10)))
			s.stats(driver.Stats{Parked: 3})
			s.resume(acme)
			s.equal("the kind is still paused", []string{"c"}, s.all("w", 10))
			s.pause(acme)
			s.resume(mail)
			s.equal("the tenant is paused again", []string{"b"}, s.all("w", 10))
			s.resume(acme)
			s.equal("none is", []string{"a"}, s.all("w", 10))
			s.stats(driver.Stats{Running: 3})
		}},
	}
}

func kindCases() []testCase {
	return []testCase{
		{"a paused kind is parked and comes back in order", "the mail server is down, the rest goes on", func(s *suite) {
			s.push(of("mail", "a", "m1"), of("plain", "a", "p1"), of("mail", "b", "m2"), of("mailing", "b", "p2"))
			s.pause(mail)
			s.join("w", time.Minute)
			got := s.all("w", 10)
			slices.Sort(got)
			s.equal("the others", []string{"p1", "p2"}, got)
			s.stats(driver.Stats{Parked: 2, Running: 2})
			s.resume(mail)
			s.equal("order", []string{"m1", "m2"}, s.all("w", 10))
		}},
		{"a kind is paused in whatever version its jobs are", "releases overlap", func(s *suite) {
			for i, body := range []string{`{"v":1,"kind":"mail"}`, `{"v":2,"kind":"mail","args":{}}`, `{"v":10,"kind":"mail"}`} {
				s.push(driver.Job{ID: fmt.Sprint("m", i), Kind: "mail", Tenant: acme.Tenant, Body: []byte(body)})
			}
			s.pause(mail)
			s.join("w", time.Minute)
			s.equal("paused", 0, len(s.all("w", 10)))
			s.stats(driver.Stats{Parked: 3})
			s.resume(mail)
			s.equal("order", []string{"m0", "m1", "m2"}, s.all("w", 10))
		}},
	}
}

func parkingCases() []testCase {
	return []testCase{
		{"a resume wakes a waiting worker", "nobody resumes to wait for a poll", func(s *suite) {
			s.push(some("acme", 1)...)
			s.pause(acme)
			s.join("w", time.Minute)
			s.all("w", 1)
			s.drainTokens()
			began, woken := time.Now(), make(chan error, 1)
			go func() { woken <- s.d.Wait(s.Context(), time.Minute) }()
			s.resume(acme)
			s.must(<-woken)
			s.equal("woken soon", true, time.Since(began) < 5*time.Second)
			s.equal("taken", []string{"acme-000"}, s.all("w", 1))
		}},
		{"parked jobs can be found, cancelled and replaced", "a pause must not hide jobs", func(s *suite) {
			newest := of("plain", "acme", "acme-replaced")
			newest.Unique, newest.Scope = "key", driver.Replace
			s.push(newest)
			s.push(some("acme", 3)...)
			s.pause(acme)
			s.join("w", time.Minute)
			s.all("w", 10)
			s.stats(driver.Stats{Parked: 4})
			s.equal("cancelled", 1, s.resolve(driver.Cancel, "acme-001"))
			s.equal("not requeued", 0, s.resolve(driver.Requeue, "acme-000"))
			s.equal("not deleted", 0, s.resolve(driver.Delete, "acme-000"))
			newest.ID, newest.Delay = "other", time.Hour
			pushed, err := s.d.Push(s.Context(), driver.Push{Jobs: []driver.Job{newest}})
			s.must(err)
			s.equal("replaced", []driver.Pushed{{Holder: "acme-replaced", Replaced: true}}, pushed)
			s.stats(driver.Stats{Parked: 2, Scheduled: 1})
			s.resume(acme)
			s.equal("the rest", []string{"acme-000", "acme-002"}, s.all("w", 10))
		}},
		{"what is parked costs the others nothing", "a paused tenant with a long queue must not slow the queue down", func(s *suite) {
			for i := range 3 {
				s.push(many(fmt.Sprintf("big%d-", i), "acme", 400)...)
			}
			s.pause(acme)
			s.join("w", time.Minute)
			s.push(some("globex", 3)...)
			s.equal("the others", 3, len(s.all("w", 3)))
			s.equal("all parked", 0, len(s.all("w", 100)))
			s.stats(driver.Stats{Parked: 1200, Running: 3})
			s.push(of("plain", "globex", "new"))
			s.equal("at once", []string{"new"}, ids(s.exchange("w", 1).Jobs))
			s.resume(acme)
			taken := 0
			for taken < 1200 {
				got := s.all("w", 100)
				s.equal("gets on", true, len(got) > 0)
				taken += len(got)
				s.finish("w", got...)
			}
			s.stats(driver.Stats{Running: 4})
		}},
		{"a resumed tenant shares with the others", "its backlog must not become theirs", func(s *suite) {
			s.push(some("acme", 100)...)
			s.pause(acme)
			s.join("w", time.Minute)
			s.all("w", 200)
			s.resume(acme)
			s.push(some("globex", 5)...)
			others := 0
			for _, id := range s.all("w", 20) {
				if id[0] == 'g' {
					others++
				}
			}
			s.equal("jobs of the other among twenty", 5, others)
		}},
	}
}
