// Package fromriver holds tests alone: the code of docs/from-river.md, theirs and ours, does what the guide says. It is
// in this module, so that nobody downloads River with the library.
package fromriver
