// Package codectest holds benchmarks alone: what it costs to encode and to compress cached values, with encoding/json and
// vmihailenco/msgpack, and with compress/flate, compress/gzip and klauspost's s2 and zstd. The default codec of package
// cache and its compression were chosen by them:
//
//	go test -run '^$' -bench . -benchtime 300ms ./codectest
//
// It is in this module, so that nobody downloads the peers with the library.
package codectest
