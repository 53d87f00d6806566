package registry_test

import (
	"archive/zip"
	"bytes"
	"hash/crc32"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/tenancy/registry"
)

// rewritten is an archive of which one file is another one from the second time on that it is read from its beginning.
type rewritten struct {
	*bytes.Reader
	at    int64 // where the file's bytes are
	later []byte
	reads int
}

func (r *rewritten) ReadAt(p []byte, off int64) (int, error) {
	n, err := r.Reader.ReadAt(p, off)
	if off == r.at {
		r.reads++
	}
	if from := off - r.at; r.reads > 1 && from >= 0 && from < int64(len(r.later)) {
		copy(p[:n], r.later[from:])
	}
	return n, err
}

// TestArchiveIsRewritten between the check of its hashes and the reading of its rows, by somebody who left out zip's own sums.
func TestArchiveIsRewritten(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	acme := h.fill(t, "acme")
	_, archive := h.archiveOf(t, acme, "key")
	const name = "tables/app.customers.ndjson"
	var packed bytes.Buffer
	w := zip.NewWriter(&packed)
	files := filesOf(t, archive)
	for file, text := range files {
		sum := crc32.ChecksumIEEE([]byte(text))
		if file == name {
			sum = 0 // then it is not compared
		}
		size := uint64(len(text))
		f, err := w.CreateRaw(&zip.FileHeader{Name: file, Method: zip.Store, CRC32: sum, CompressedSize64: size, UncompressedSize64: size})
		require.NoError(t, err)
		_, err = io.WriteString(f, text)
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	size := int64(packed.Len())
	z, err := zip.NewReader(bytes.NewReader(packed.Bytes()), size)
	require.NoError(t, err)
	in := &rewritten{Reader: bytes.NewReader(packed.Bytes()), later: []byte(strings.ReplaceAll(files[name], "Customer", "Intruder"))}
	for _, f := range z.File {
		if f.Name == name {
			in.at, err = f.DataOffset()
			require.NoError(t, err)
		}
	}
	there := h.tenant(t, "there")
	opts := &registry.ImportOptions{Key: []byte("key"), Remap: true}
	_, err = h.reg.Import(there, in, size, opts)
	require.ErrorIs(t, err, registry.ErrArchive)
	require.Equal(t, 2, in.reads)
	require.Empty(t, h.rows(t, "app.customers", "tenant_id", "there"))

	_, err = h.load(there, packed.Bytes(), opts)
	require.NoError(t, err, "left alone, it is taken")
}
