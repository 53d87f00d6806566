// Package jobsui is a dashboard for job queues: an http.Handler with what
// waits, runs, failed and died, how fast it went, the schedules, the flows, the
// tenants' turns and who works, and the buttons to requeue, cancel, delete, run now,
// unschedule, pause and limit.
//
// # Usage
//
// Mount it below any path, behind the login of your operators:
//
//	ui, err := jobsui.New(map[string]*jobs.Queue{"mail": q}, nil)
//	mux.Handle("/jobs/", operatorsOnly(http.StripPrefix("/jobs", ui)))
//
// The queues need not run in this process. The pages are rendered on the
// server and work without JavaScript; with it the numbers refresh themselves.
// Nothing is loaded from elsewhere.
//
// # Delivery
//
// What the pages show was read while they were made; what a button does is
// what the method of jobs.Queue of the same name does. Buttons that act on all
// jobs of a filter act on all that match when they are pressed, in steps of 500,
// and only while the page is open. The end of the request's context stops them,
// too: mount the dashboard where requests have no deadline, below httpx.Default
// inside of httpx.Deadline(-1).
//
// # Tenancy
//
// The dashboard is for operators and shows the jobs of all tenants. Do not
// serve it to the users of one. Mount it outside of the middleware that finds
// the tenant of a request: with one in the context of a request it lists the
// jobs and flows of that tenant alone, as jobs.Queue does.
//
// # Errors
//
// A page whose data cannot be read says so with status 502 and logs why; one
// that the queue's driver has no data for, with 501. A change that is not
// allowed is answered with 403 and not made.
//
// What Options.Codec has sealed is never opened for a page.
//
// # Concurrency
//
// A handler is safe for concurrent use. It keeps no state and starts nothing.
//
// It asks nobody who they are: authentication is the caller's middleware.
// Changes are POST requests, which browsers of other sites are refused
// (http.CrossOriginProtection); Options.Allow and Options.ReadOnly say which.
package jobsui
