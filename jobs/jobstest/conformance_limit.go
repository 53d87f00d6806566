package jobstest

import (
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

func limitCases() []testCase {
	return []testCase{
		{"a limit on a queue holds over all workers", "a database has so many connections", func(s *suite) {
			s.push(some("acme", 4)...)
			s.push(some("globex", 4)...)
			s.join("w1", time.Minute)
			s.join("w2", time.Minute)
			early := s.take("w1", 1) // before the limit: it counts all the same
			s.limit(wholeQueue, driver.Limit{Running: 3})
			s.equal("two more", 2, len(s.exchange("w2", 10).Jobs))
			batch := s.exchange("w1", 10)
			s.equal("no more", 0, len(batch.Jobs))
			s.equal("ready to be taken", 0, batch.Ready)
			s.equal("time alone changes nothing", true, batch.Next < 0)
			s.equal("one for one", 1, len(s.exchange("w1", 10, driver.Outcome{ID: early[0], Action: driver.Finish}).Jobs))
			s.limit(wholeQueue, driver.Limit{})
			s.equal("lifted", 4, len(s.all("w1", 10)))
		}},
		{"a limit for each tenant holds back that tenant only", "no customer may take all slots", func(s *suite) {
			s.limit(eachTenant, driver.Limit{Running: 2})
			s.limit(driver.Target{Tenant: "globex"}, driver.Limit{Running: 3})
			s.push(some("acme", 6)...)
			s.push(some("globex", 6)...)
			s.push(some("", 6)...)
			s.join("w", time.Minute)
			running := map[byte]int{}
			for _, id := range s.all("w", 18) {
				running[id[0]]++
			}
			s.equal("acme", 2, running['a'])
			s.equal("its own limit", 3, running['g'])
			s.equal("no tenant is one, too", 2, running['-'])
			s.stats(driver.Stats{Running: 7, Parked: 11})
			s.equal("one for one", []string{"acme-002"}, s.settleAndTake("acme-000", driver.Finish))
		}},
		{"whatever ends a job makes room", "a counter that leaks stops a tenant for ever", func(s *suite) {
			s.limit(eachTenant, driver.Limit{Running: 1})
			s.push(some("acme", 6)...)
			s.join("w", time.Minute)
			s.equal("first", []string{"acme-000"}, s.all("w", 10))
			s.equal("finished", []string{"acme-001"}, s.settleAndTake("acme-000", driver.Finish))
			s.equal("buried", []string{"acme-002"}, s.settleAndTake("acme-001", driver.Bury))
			s.equal("dropped", []string{"acme-003"}, s.settleAndTake("acme-002", driver.Drop))
			s.seq["w"]++
			retry := driver.Outcome{ID: "acme-003", Action: driver.Retry, Delay: time.Hour}
			x := driver.Exchange{Worker: "w", Seq: s.seq["w"], Want: 10, Done: []driver.Outcome{retry}}
			for range 3 { // repeated, since answers get lost
				batch, err := s.d.Exchange(s.Context(), x)
				s.must(err)
				s.equal("retried", []string{"acme-004"}, ids(batch.Jobs))
			}
			s.leave("w")
			s.join("dies", step)
			s.equal("left", 1, len(s.all("dies", 10)))
			s.wait(2 * step)
			s.join("w2", time.Minute)
			s.equal("died", 1, len(s.all("w2", 10)))
			s.equal("no more", 0, len(s.all("w2", 10)))
			s.stats(driver.Stats{Running: 1, Parked: 1, Scheduled: 1, Dead: 1})
		}},
	}
}

func limitChangeCases() []testCase {
	return []testCase{
		{"a limit may be lowered below what runs", "the incident is now", func(s *suite) {
			s.push(some("acme", 6)...)
			s.join("w", time.Minute)
			s.equal("taken", 4, len(s.take("w", 4)))
			s.limit(acme, driver.Limit{Running: 2})
			s.equal("no more", 0, len(s.all("w", 10)))
			s.equal("three are too many", 0, len(s.settleAndTake("acme-000", driver.Finish)))
			s.equal("two are enough", 0, len(s.settleAndTake("acme-001", driver.Finish)))
			s.equal("one for one", []string{"acme-004"}, s.settleAndTake("acme-002", driver.Finish))
			s.limit(acme, driver.Limit{})
			s.equal("lifted", []string{"acme-005"}, s.all("w", 10))
		}},
		{"a freed place wakes a waiting worker", "the place may be on another machine", func(s *suite) {
			s.limit(acme, driver.Limit{Running: 1})
			s.push(some("acme", 2)...)
			s.join("w1", time.Minute)
			s.join("w2", time.Minute)
			s.equal("one", 1, len(s.all("w1", 1)))
			s.all("w2", 1)
			s.drainTokens()
			began, woken := time.Now(), make(chan error, 1)
			go func() { woken <- s.d.Wait(s.Context(), time.Minute) }()
			s.finish("w1", "acme-000")
			s.must(<-woken)
			s.equal("woken soon", true, time.Since(began) < 5*time.Second)
			s.equal("taken", []string{"acme-001"}, s.all("w2", 1))
		}},
	}
}

// settleAndTake settles a job of worker w and takes what may be taken then.
func (s *suite) settleAndTake(id string, action driver.Action) []string {
	s.Helper()
	s.exchange("w", 0, driver.Outcome{ID: id, Action: action})
	return s.all("w", 10)
}

func rateCases() []testCase {
	return []testCase{
		{"a rate lets so many start and then spreads them", "an API answers so many calls a minute", func(s *suite) {
			s.limit(acme, driver.Limit{Rate: 2, Per: 4 * step, Burst: 3})
			s.push(some("acme", 6)...)
			s.push(some("globex", 2)...)
			s.join("w", time.Minute)
			began := time.Now()
			s.equal("the burst, and the others", 5, len(s.all("w", 10)))
			batch := s.exchange("w", 10)
			s.equal("no more", 0, len(batch.Jobs))
			s.equal("ready to be taken", 0, batch.Ready)
			s.equal("the next is known", true, batch.Next > 0 && batch.Next <= 2*step)
			for n := 3; n < 6; n++ {
				s.wait(batch.Next + 2*time.Millisecond)
				batch = s.exchange("w", 10)
				s.equal("one more", 1, len(batch.Jobs))
				due := time.Duration(n-2) * 2 * step
				s.equal("not early", true, time.Since(began) >= due-2*time.Millisecond)
			}
			s.equal("no more to come", true, batch.Next < 0)
			s.stats(driver.Stats{Running: 8})
		}},
		{"a rate of the queue holds all", "a shared API has one limit", func(s *suite) {
			s.limit(wholeQueue, driver.Limit{Rate: 3, Per: time.Hour})
			s.push(some("acme", 3)...)
			s.push(some("globex", 3)...)
			s.join("w1", time.Minute)
			s.join("w2", time.Minute)
			s.equal("two", 2, len(s.exchange("w1", 2).Jobs))
			batch := s.exchange("w2", 10)
			s.equal("one", 1, len(batch.Jobs))
			s.equal("ready to be taken", 0, batch.Ready)
			s.equal("the next is known", true, batch.Next > 15*time.Minute && batch.Next <= 20*time.Minute)
			s.leave("w1")
			s.equal("what started has started", 0, len(s.all("w2", 10)))
			s.limit(wholeQueue, driver.Limit{Rate: 2, Per: time.Hour})
			s.equal("a new rate starts afresh", 2, len(s.all("w2", 10)))
			s.limit(wholeQueue, driver.Limit{})
			s.equal("lifted", 3, len(s.all("w2", 10)))
		}},
		{"a rate for each tenant", "one customer's burst is not the others' wait", func(s *suite) {
			s.limit(eachTenant, driver.Limit{Rate: 1, Per: time.Hour})
			s.push(some("acme", 2)...)
			s.push(some("globex", 2)...)
			s.join("w", time.Minute)
			s.equal("one each", 2, len(s.all("w", 10)))
			s.finish("w", "acme-000", "globex-000")
			s.equal("an end is no start", 0, len(s.all("w", 10)))
			s.limit(eachTenant, driver.Limit{Rate: 1, Per: time.Minute})
			s.equal("a new rate starts afresh", 2, len(s.all("w", 10)))
			s.finish("w", "acme-001", "globex-001")
			s.stats(driver.Stats{})
		}},
		{"quiet time saves no more than the burst", "a limit is a limit on Monday morning, too", func(s *suite) {
			s.limit(acme, driver.Limit{Rate: 100, Per: 100 * step, Burst: 2})
			s.wait(4 * step)
			s.push(some("acme", 5)...)
			s.join("w", time.Minute)
			s.equal("the burst", 2, len(s.exchange("w", 10).Jobs))
		}},
		{"both limits of a tenant hold", "few at a time and few a minute are two things", func(s *suite) {
			s.limit(acme, driver.Limit{Running: 1, Rate: 2, Per: time.Hour})
			s.push(some("acme", 4)...)
			s.join("w", time.Minute)
			s.equal("one at a time", 1, len(s.all("w", 10)))
			s.equal("the second", 1, len(s.settleAndTake("acme-000", driver.Finish)))
			s.equal("the rate", 0, len(s.settleAndTake("acme-001", driver.Finish)))
			batch := s.exchange("w", 1)
			s.equal("the next is known", true, batch.Next > 25*time.Minute && batch.Next <= 30*time.Minute)
		}},
	}
}
