// Package notifytest is the test kit of notify: a [Recorder] that stands in for
// e-mail and SMS providers, with faults and finders, and the suites [RunEmail] and
// [RunSMS] that every adapter must pass.
//
// A test makes a recorder with [New], gives it to notify.New as Options.Email and
// Options.SMS, runs the program and asks [Recorder.One] for the message it expects.
// The recorder does no I/O and works inside a testing/synctest bubble.
package notifytest
