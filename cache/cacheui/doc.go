// Package cacheui is a debug page for the caches of a process: an http.Handler that shows how
// often each was answered from memory and from the store, what was loaded, served old, shed or
// thrown away, and whether memory and store can be trusted.
//
// # Usage
//
// Mount [New] below any path, behind the login of your operators:
//
//	ui, err := cacheui.New(hub, nil)
//	mux.Handle("/cache/", operatorsOnly(http.StripPrefix("/cache", ui)))
//
// The page is rendered on the server, works without JavaScript and loads nothing from elsewhere.
//
// # Consistency
//
// The figures are those of cache.Hub.Stats, of one process since its start. Behind a load
// balancer each visit may meet another process; Options.Title can tell which.
//
// # Tenancy
//
// The counts are those of all tenants together; keys and values are not shown.
//
// # Errors
//
// There is nothing to fail: the page is made from memory, also while the store is down.
//
// # Concurrency
//
// A handler is safe for concurrent use. It keeps no state and starts nothing. It asks nobody
// who they are: authentication is the caller's middleware.
package cacheui
