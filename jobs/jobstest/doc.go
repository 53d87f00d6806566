// Package jobstest helps to test programs that use package jobs, without
// Redis: Driver keeps a queue in memory, does no I/O and reads the time only
// through package time, so a testing/synctest bubble gives it virtual time.
//
//	driver := jobstest.New(t)
//	queue, err := jobs.New(driver, nil)
//
// Enqueued shows what the code under test has enqueued, Drain runs the queue
// until nothing is left to do, Advance for a while. Faults are switchable:
// Driver.Fail and FailNext keep calls from doing anything, LoseReply loses their
// answers, Crash ends the workers' leases.
//
// Run is the conformance suite for other drivers, RunWalks attacks them with
// random calls.
package jobstest
