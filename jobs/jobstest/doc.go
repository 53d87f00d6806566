// Package jobstest helps to test programs that use package jobs, without
// Redis: Driver keeps a queue in memory, does no I/O and reads the time only
// through package time, so a testing/synctest bubble gives it virtual time. It
// has switchable faults. Run is the conformance suite for other drivers.
//
//	driver := jobstest.New(t)
//	queue, err := jobs.New(driver, nil)
package jobstest
