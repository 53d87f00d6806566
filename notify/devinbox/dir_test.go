package devinbox_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/notify"
	"github.com/ashlar-go/ashlar/notify/devinbox"
)

// TestMain lets the test binary be the program that gets killed.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "write-messages" {
		writeMessages(os.Args[2])
		return
	}
	os.Exit(m.Run())
}

func writeMessages(dir string) {
	in, err := devinbox.New(&devinbox.Options{Dir: dir})
	if err != nil {
		panic(err)
	}
	for i := range 1 << 20 {
		id, err := in.SendSMS(context.Background(), notify.SMS{Key: fmt.Sprint(i), To: "+14155550100", Text: strings.Repeat("x", 1000)})
		if err != nil {
			panic(err)
		}
		fmt.Println(id)
	}
}

func TestMessagesSurviveKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "write-messages", dir)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	var accepted []string
	lines := bufio.NewScanner(out)
	for len(accepted) < 200 && lines.Scan() {
		accepted = append(accepted, lines.Text())
	}
	require.NoError(t, cmd.Process.Kill())
	for lines.Scan() { // accepted before the kill arrived
		accepted = append(accepted, lines.Text())
	}
	cmd.Wait()
	require.GreaterOrEqual(t, len(accepted), 200)

	var log bytes.Buffer
	in := open(t, &devinbox.Options{Dir: dir, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	kept := map[string]bool{}
	for _, m := range in.Messages() {
		kept[m.ID] = true
	}
	// The writer keeps 500 and may have sent more; the last line may be cut.
	recent := accepted[max(0, len(accepted)-400):]
	for _, id := range recent {
		if len(id) == 16 {
			require.True(t, kept[id], "accepted, then lost: %s", id)
		}
	}
	require.Empty(t, log.String(), "no half-written message")
}

func TestReopenKeepsOrderAndKeys(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "deep", "inbox")
	in := open(t, &devinbox.Options{Dir: dir})
	for i := range 10 {
		_, err := in.SendSMS(t.Context(), notify.SMS{Key: fmt.Sprint(i), To: "+14155550100", Text: fmt.Sprint("message ", i)})
		require.NoError(t, err)
	}
	again := open(t, &devinbox.Options{Dir: dir})
	require.Equal(t, in.Messages(), again.Messages())
	require.Equal(t, "message 9", again.Messages()[0].Text)
	_, err := again.SendSMS(t.Context(), notify.SMS{Key: "3", To: "+14155550100", Text: "message 3"})
	require.NoError(t, err)
	require.Len(t, again.Messages(), 10, "a retry after the restart is recognised")

	info, err := os.Stat(dir)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm(), "messages are personal data")
}

func TestProcessesShareADirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	worker, api := open(t, &devinbox.Options{Dir: dir}), open(t, &devinbox.Options{Dir: dir})
	_, err := worker.SendSMS(t.Context(), notify.SMS{Key: "k", To: "+14155550100", Text: "x"})
	require.NoError(t, err)
	require.Len(t, api.Messages(), 1)
	_, err = api.SendSMS(t.Context(), notify.SMS{Key: "k", To: "+14155550100", Text: "x"})
	require.NoError(t, err)
	require.Len(t, worker.Messages(), 1, "a retry in another process is recognised")
	api.Clear()
	require.Empty(t, worker.Messages())
}

func TestForeignFilesAreLeftAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	broken := "00000000000000000001-0123456789abcdef.json"
	write(broken, `{"id": "0123`)
	write("00000000000000000002-0123456789abcdef.json", `{"id":"../../x","to":"a"}`)
	write(".new-123", `{}`)
	write("README", "hands off")
	var log bytes.Buffer
	in := open(t, &devinbox.Options{Dir: dir, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	require.Empty(t, in.Messages())
	require.Empty(t, in.Messages())
	require.Equal(t, 1, strings.Count(log.String(), broken), "reported once")
	write(broken, `{"id":"0123456789abcdef","to":"a"}`)
	require.Len(t, in.Messages(), 1, "what could not be read once is tried again")
	write(broken, `{"id": "0123`)
	in = open(t, &devinbox.Options{Dir: dir, Logger: slog.New(slog.DiscardHandler)})
	in.Clear()
	for _, name := range []string{"README", ".new-123", broken} {
		require.FileExists(t, filepath.Join(dir, name))
	}
}

func TestUnwritableDirectory(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err := devinbox.New(&devinbox.Options{Dir: file})
	require.ErrorContains(t, err, "Options.Dir")

	dir := filepath.Join(t.TempDir(), "gone")
	in := open(t, &devinbox.Options{Dir: dir})
	require.NoError(t, os.Remove(dir))
	_, err = in.SendSMS(t.Context(), notify.SMS{To: "+14155550100", Text: "x"})
	require.ErrorIs(t, err, notify.ErrUnavailable)
	require.True(t, notify.Retryable(err))
}

func TestBounds(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	in := open(t, &devinbox.Options{Max: 3, Dir: dir})
	for i := range 10 {
		_, err := in.SendSMS(t.Context(), notify.SMS{To: "+14155550100", Text: fmt.Sprint(i)})
		require.NoError(t, err)
	}
	list := in.Messages()
	require.Len(t, list, 3)
	require.Equal(t, []string{"9", "8", "7"}, []string{list[0].Text, list[1].Text, list[2].Text})
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, files, 3)

	_, err = devinbox.New(&devinbox.Options{Max: -1})
	require.ErrorContains(t, err, "Options.Max")

	large := open(t, nil)
	body := strings.Repeat("x", 1<<20)
	for range 40 { // 80 MiB
		_, err := large.SendEmail(t.Context(), notify.Email{To: notify.Address{Email: "ann@example.com"}, Subject: "x", Text: body, HTML: body})
		require.NoError(t, err)
	}
	require.Len(t, large.Messages(), 31, "64 MiB of text")
}
