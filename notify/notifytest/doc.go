// Package notifytest is the test kit of notify: a [Recorder] that stands in for
// e-mail and SMS providers, and the suites [RunEmail] and [RunSMS] that every
// adapter must pass.
//
// The recorder does no I/O and works inside a testing/synctest bubble.
//
//	rec := notifytest.New(t)
//	n, err := notify.New(&notify.Options{Email: rec, SMS: rec})
//	… run the program …
//	mail := rec.One(notifytest.To("ann@example.com"), notifytest.Kind("auth.verify"))
//	link := mail.Link()
package notifytest
