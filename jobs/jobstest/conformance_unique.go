package jobstest

import (
	"fmt"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// keyed makes a job that is unique for a scope; a window is three steps.
func keyed(id string, scope driver.UniqueScope) driver.Job {
	j := driver.Job{ID: id, Body: []byte("body of " + id), Unique: "key", Scope: scope}
	if scope == driver.UniqueFor {
		j.Window = 3 * step
	}
	return j
}

func uniqueCases() []testCase {
	return []testCase{
		{"a key is held until the start", "what changes after the start needs another run", func(s *suite) {
			s.push(keyed("a", driver.UntilStarted))
			s.equal("while it waits", []string{"a"}, s.push(keyed("b", driver.UntilStarted)))
			s.join("w", time.Minute)
			s.take("w", 1)
			s.equal("while it runs", []string{""}, s.push(keyed("b", driver.UntilStarted)))
			s.exchange("w", 0, driver.Outcome{ID: "a", Action: driver.Return})
			s.equal("the new one keeps it", []string{"b"}, s.push(keyed("c", driver.UntilStarted)))
			s.equal("both run", []string{"a", "b"}, s.take("w", 5))
			s.finish("w", "a", "b")
			s.equal("afterwards", []string{""}, s.push(keyed("c", driver.UntilStarted)))
		}},
		{"a key is held for a window", "at most one mail an hour", func(s *suite) {
			s.push(keyed("a", driver.UniqueFor))
			s.equal("while it waits", []string{"a"}, s.push(keyed("b", driver.UniqueFor)))
			s.join("w", time.Minute)
			s.take("w", 1)
			s.finish("w", "a")
			s.equal("when it is finished", []string{"a"}, s.push(keyed("b", driver.UniqueFor)))
			s.wait(3*step + 20*time.Millisecond)
			s.equal("afterwards", []string{""}, s.push(keyed("b", driver.UniqueFor)))
			s.wait(3*step + 20*time.Millisecond)
			s.equal("although the other waits", []string{""}, s.push(keyed("c", driver.UniqueFor)))
			s.take("w", 1)
			s.finish("w", "b")
			s.equal("the new one holds it", []string{"c"}, s.push(keyed("d", driver.UniqueFor)))
			s.take("w", 1)
			s.exchange("w", 0, driver.Outcome{ID: "c", Action: driver.Bury})
			s.equal("a dead one does not", []string{""}, s.push(keyed("d", driver.UniqueFor)))
		}},
	}
}

func keyBackCases() []testCase {
	return []testCase{
		{"a job that comes back takes its key along", "a worker that only looked at it must not make it two", func(s *suite) {
			for i, scope := range []driver.UniqueScope{driver.UntilStarted, driver.Replace} {
				id, worker := string(rune('a'+i)), fmt.Sprint("worker ", i)
				held := func(what string) {
					s.Helper()
					s.equal(what, []string{id}, s.push(keyed("other", driver.UntilDone)))
				}
				s.push(keyed(id, scope))
				s.join(worker, time.Minute)
				s.equal("taken", []string{id}, s.take(worker, 1))
				s.exchange(worker, 0, driver.Outcome{ID: id, Action: driver.Return})
				held("returned")
				s.take(worker, 1)
				s.exchange(worker, 0, driver.Outcome{ID: id, Action: driver.Return, Delay: step})
				held("returned for later")
				s.wait(step + rounding)
				s.equal("taken", []string{id}, s.take(worker, 1))
				s.leave(worker)
				held("its worker left")
				s.join("w", time.Minute)
				s.take("w", 1)
				s.exchange("w", 0, driver.Outcome{ID: id, Action: driver.Retry})
				s.equal("it has failed", []string{""}, s.push(keyed("next", scope)))
				s.take("w", 2)
				s.finish("w", id, "next")
			}
			s.equal("nothing is left", []string{""}, s.push(keyed("last", driver.UntilStarted)))
		}},
		{"a requeued job takes its key back", "the next one must not run beside it", func(s *suite) {
			s.join("w", time.Minute)
			for i, scope := range []driver.UniqueScope{driver.UntilDone, driver.UntilStarted, driver.UniqueFor, driver.Replace} {
				id := string(rune('a' + i))
				s.push(keyed(id, scope))
				s.take("w", 1)
				s.exchange("w", 0, driver.Outcome{ID: id, Action: driver.Bury})
				s.equal("requeued", 1, s.resolve(driver.Requeue, id))
				s.equal("held", []string{id}, s.push(keyed("other", driver.UntilDone)))
				s.take("w", 1)
				s.finish("w", id)
				s.equal("finished", []string{""}, s.push(keyed("other", driver.UntilDone)))
				s.take("w", 1)
				s.finish("w", "other")
			}
		}},
		{"a key that is taken stays where it is", "two jobs cannot hold it", func(s *suite) {
			s.join("w", time.Minute)
			s.push(keyed("a", driver.UniqueFor))
			s.take("w", 1)
			s.exchange("w", 0, driver.Outcome{ID: "a", Action: driver.Bury})
			s.push(keyed("b", driver.UniqueFor))
			s.equal("requeued", 1, s.resolve(driver.Requeue, "a"))
			s.equal("another's", []string{"b"}, s.push(keyed("c", driver.UntilDone)))
			s.take("w", 2)
			s.finish("w", "a")
			s.equal("its end changes nothing", []string{"b"}, s.push(keyed("c", driver.UntilDone)))
			s.exchange("w", 0, driver.Outcome{ID: "b", Action: driver.Bury})
			s.equal("deleted", 1, s.resolve(driver.Delete, "b"))
			s.equal("free", []string{""}, s.push(keyed("c", driver.UntilDone)))
			s.equal("there is none to requeue", 0, s.resolve(driver.Requeue, "b"))
		}},
	}
}

func replaceCases() []testCase {
	return []testCase{
		{"a later job replaces one that waits", "only the latest state is worth an index", func(s *suite) {
			replaced := func(j driver.Job) []driver.Pushed {
				s.Helper()
				pushed, err := s.d.Push(s.Context(), driver.Push{Jobs: []driver.Job{j}})
				s.must(err)
				return pushed
			}
			first := keyed("a", driver.Replace)
			first.Delay = time.Hour
			s.push(first)
			s.stats(driver.Stats{Scheduled: 1})
			urgent := keyed("b", driver.Replace)
			urgent.Priority = driver.PriorityUrgent
			s.equal("replaced", []driver.Pushed{{Holder: "a", Replaced: true}}, replaced(urgent))
			s.push(plain("other"))
			s.stats(driver.Stats{Ready: 2})
			later := keyed("c", driver.Replace)
			later.Delay = time.Hour
			s.equal("put off", []driver.Pushed{{Holder: "a", Replaced: true}}, replaced(later))
			s.stats(driver.Stats{Ready: 1, Scheduled: 1})
			s.equal("replaced", []driver.Pushed{{Holder: "a", Replaced: true}}, replaced(urgent))
			s.join("w", time.Minute)
			batch := s.exchange("w", 1)
			s.equal("its id, the priority of the new one", []string{"a"}, ids(batch.Jobs))
			s.equal("body", "body of b", string(batch.Jobs[0].Body))
			s.equal("while it runs the next is stored", []driver.Pushed{{}}, replaced(keyed("d", driver.Replace)))
			s.equal("and holds the key", []driver.Pushed{{Holder: "d"}}, replaced(keyed("e", driver.UntilDone)))
			s.stats(driver.Stats{Ready: 2, Running: 1})
		}},
		{"a repeated push of the holder is no duplicate", "clients repeat calls whose answer got lost", func(s *suite) {
			for i, scope := range []driver.UniqueScope{driver.UntilDone, driver.UntilStarted, driver.UniqueFor, driver.Replace} {
				j := keyed(string(rune('a'+i)), scope)
				j.Unique = j.ID
				s.equal("first", []string{"", ""}, s.push(j, j))
				s.equal("again", []string{""}, s.push(j))
			}
			s.stats(driver.Stats{Ready: 4})
		}},
		{"keys are opaque", "they have the tenant in them", func(s *suite) {
			odd := driver.Job{ID: "a", Unique: "4:acme blank \n\x00 ß"}
			s.push(odd)
			odd.ID = "b"
			s.equal("held", []string{"a"}, s.push(odd))
			odd.ID, odd.Unique = "c", "4:acme blank \n\x00 ss"
			s.equal("another", []string{""}, s.push(odd))
		}},
	}
}
