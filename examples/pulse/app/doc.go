// Package app is what pulse does, from signing up a team to telling it that
// its site is down. It puts the domain of package uptime onto Ashlar's
// blocks: its methods are plain functions of a context and an input, called
// by HTTP endpoints, jobs and tests alike.
package app
