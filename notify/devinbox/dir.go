package devinbox

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// A message's file is named after its time, so that names sort like messages, and
// is complete as soon as it has that name: it is written under another and renamed.
var messageFile = regexp.MustCompile(`^\d{20}-[0-9a-f]{16}\.json$`)

const (
	tempPrefix = ".new-"
	maxFile    = 16 << 20 // two bodies of 1 MiB, escaped
)

func fileName(s *stored) string {
	return fmt.Sprintf("%020d-%s.json", s.SentAt.UnixNano(), s.ID)
}

func (in *Inbox) openDir() error {
	if in.opts.Dir == "" {
		return nil
	}
	if err := os.MkdirAll(in.opts.Dir, 0o700); err != nil {
		return fmt.Errorf("devinbox: Options.Dir: %w", err)
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if err := in.readDir(); err != nil {
		return fmt.Errorf("devinbox: Options.Dir: %w", err)
	}
	in.evict()
	return nil
}

// readDir brings the memory in line with the directory: another process may have
// added or removed messages. A file that cannot be read is tried again each time,
// since the reason may pass, but reported once.
func (in *Inbox) readDir() error {
	if in.opts.Dir == "" {
		return nil
	}
	entries, err := os.ReadDir(in.opts.Dir)
	if err != nil {
		return err
	}
	present := make(map[string]bool, len(entries))
	for _, e := range entries {
		if messageFile.MatchString(e.Name()) {
			present[e.Name()] = true
		}
	}
	in.messages = slices.DeleteFunc(in.messages, func(s *stored) bool {
		gone := !present[s.file]
		if gone {
			in.bytes -= s.size()
		}
		delete(present, s.file)
		return gone
	})
	maps.DeleteFunc(in.reported, func(file string, _ bool) bool { return !present[file] })
	for file := range present {
		s, err := readFile(in.opts.Dir, file)
		switch {
		case err == nil:
			in.insert(s)
		case os.IsNotExist(err): // removed meanwhile
		case !in.reported[file]:
			in.reported[file] = true
			in.opts.logger().Warn("devinbox: skipping a file", "file", file, "error", err)
		}
	}
	return nil
}

func readFile(dir, file string) (*stored, error) {
	name := filepath.Join(dir, file)
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("larger than %d bytes", maxFile)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	s := &stored{file: file}
	if err := json.Unmarshal(data, &s.Message); err != nil {
		return nil, fmt.Errorf("not a message: %w", err)
	}
	if !strings.HasSuffix(file, "-"+s.ID+".json") {
		return nil, fmt.Errorf("the id inside is another one")
	}
	return s, nil
}

func (in *Inbox) writeFile(s *stored) error {
	if in.opts.Dir == "" {
		return nil
	}
	data, err := json.Marshal(s.Message)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(in.opts.Dir, tempPrefix+"*") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(in.opts.Dir, s.file))
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

func (in *Inbox) removeFile(s *stored) {
	if in.opts.Dir == "" {
		return
	}
	if err := os.Remove(filepath.Join(in.opts.Dir, s.file)); err != nil && !os.IsNotExist(err) {
		in.opts.logger().Warn("devinbox: cannot remove a file", "file", s.file, "error", err)
	}
}
