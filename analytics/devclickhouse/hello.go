package devclickhouse

import (
	"strconv"

	"github.com/ClickHouse/ch-go/proto"
)

// helloQuery is clickhouse-go's first query over HTTP. It decodes the answer
// with its own protocol revision and everything after with the revision that
// the answer names.
const helloQuery = "SELECT displayName(), version(), revision(), timezone()"

// hello answers the first query with revision 0: from then on the client reads
// blocks in their plain form, which is what the engine writes, and no block
// has to be encoded anew. Only this one block is in the client's revision.
func hello(revision, version, timezone string) ([]byte, error) {
	rev, err := strconv.Atoi(revision)
	if err != nil || rev < 0 {
		return nil, newException(codeBadRequest, "BAD_ARGUMENTS", "client_protocol_version %q is no number", revision)
	}
	text := func(s string) *proto.ColStr {
		c := new(proto.ColStr)
		c.Append(s)
		return c
	}
	input := proto.Input{
		{Name: "displayName()", Data: text("devclickhouse")},
		{Name: "version()", Data: text(version)},
		{Name: "revision()", Data: proto.ColUInt32{0}},
		{Name: "timezone()", Data: text(timezone)},
	}
	var b proto.Buffer
	block := proto.Block{Info: proto.BlockInfo{BucketNum: -1}, Columns: len(input), Rows: 1}
	if err := block.EncodeBlock(&b, rev, input); err != nil {
		return nil, err
	}
	return b.Buf, nil
}
