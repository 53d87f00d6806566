// Package fromasynq holds tests alone: the code of docs/from-asynq.md, theirs and ours, does what the guide says. It is
// in this module, so that nobody downloads asynq with the library.
package fromasynq
