// Package archtest holds the architecture as a test: who may import whom,
// what must be documented, how large things may grow, and what is never
// written. Each failure says which rule was broken and why the rule exists.
//
// A rule that would make some code worse is broken there on purpose, with the
// reason beside it:
//
//	//archtest:allow size the state table reads better in one piece
//
// The comment stands in the file for rules about files and imports, and on
// the line or the line above for the others.
package archtest
