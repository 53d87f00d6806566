package analytics

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
)

// bury appends refused records to Dir/dead/<token>.jsonl, one JSON object per line.
func (w *wal) bury(token string, records []Record, cause error) (err error) {
	dir := filepath.Join(w.dir, "dead")
	f, err := os.OpenFile(filepath.Join(dir, token+".jsonl"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	enc := json.NewEncoder(f)
	for _, r := range records {
		line := struct {
			Record
			Error string `json:"error"`
		}{r, cause.Error()}
		if err := enc.Encode(line); err != nil {
			return err
		}
	}
	return errors.Join(f.Sync(), syncDir(dir))
}
