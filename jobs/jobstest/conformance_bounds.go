package jobstest

import (
	"errors"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

func boundCases() []testCase {
	return []testCase{
		{"a list that is too long is refused", "a store must not stop half-way", func(s *suite) {
			const most = driver.MaxBatch
			refused := func(what string, err error) {
				s.Helper()
				s.equal(what+" refused", true, err != nil)
			}
			_, err := s.d.Push(s.Context(), driver.Push{Jobs: many("j", "", most+1)})
			refused("push", err)
			_, err = s.d.Push(s.Context(), driver.Push{Jobs: many("j", "", most+1), MaxDepth: 10 * most})
			refused("push with a depth", err)
			s.stats(driver.Stats{})
			jobs := many("j", "", most)
			s.push(jobs...)
			s.join("w", time.Minute)
			taken := s.take("w", most)
			s.equal("as many as are allowed", most, len(taken))
			x := driver.Exchange{Worker: "w", Seq: s.seq["w"] + 1}
			for _, id := range append(taken, "none") {
				x.Done = append(x.Done, driver.Outcome{ID: id, Action: driver.Finish})
				x.Notes = append(x.Notes, driver.Note{ID: id})
			}
			x.Notes, x.Done = x.Notes[:1], x.Done[:most+1]
			_, err = s.d.Exchange(s.Context(), x)
			refused("outcomes", err)
			s.stats(driver.Stats{Running: most})
			x.Notes, x.Done = make([]driver.Note, most+1), nil
			_, err = s.d.Exchange(s.Context(), x)
			refused("notes", err)
			s.finish("w", taken...)
			s.stats(driver.Stats{})
		}},
		{"what is not stored does not count for the depth", "the repetition of a lost call must not be told that the queue is full", func(s *suite) {
			full := func(depth int, batch ...driver.Job) bool {
				s.Helper()
				_, err := s.d.Push(s.Context(), driver.Push{Jobs: batch, MaxDepth: depth})
				if err != nil && !errors.Is(err, driver.ErrQueueFull) {
					s.must(err)
				}
				return err != nil
			}
			unique := func(id, key string) driver.Job { return driver.Job{ID: id, Unique: key} }
			s.equal("just so many", false, full(3, plain("a"), plain("b"), unique("c", "key")))
			s.equal("the same again", false, full(3, plain("a"), plain("b"), unique("c", "key")))
			s.equal("one is new", true, full(3, plain("a"), plain("d")))
			s.equal("a key that is held", false, full(3, unique("d", "key"), unique("e", "key")))
			s.equal("into a queue that is deeper", false, full(1, plain("a"), unique("d", "key")))
			s.equal("a key that is free", true, full(3, unique("d", "other")))
			s.equal("twice in a call", false, full(4, plain("d"), plain("d"), unique("c", "key")))
			s.equal("a key twice in a call", false, full(5, unique("e", "new"), unique("f", "new"), unique("e", "new")))
			s.equal("both new", true, full(6, unique("g", "1"), unique("h", "2")))
			s.stats(driver.Stats{Ready: 5})
			replace := func(id string) driver.Job {
				return driver.Job{ID: id, Unique: "latest", Scope: driver.Replace, Body: []byte(id)}
			}
			s.equal("a replacement", false, full(6, replace("r1"), replace("r2")))
			s.stats(driver.Stats{Ready: 6})
		}},
	}
}

// findBounds are those of what can be looked up.
func findBounds() []testCase {
	return []testCase{
		{"a list of ids that is too long is refused", "a store must not stop half-way", func(s *suite) {
			_, err := s.d.(driver.Finder).Find(s.Context(), make([]string, driver.MaxBatch+1))
			s.equal("refused", true, err != nil)
		}},
	}
}
