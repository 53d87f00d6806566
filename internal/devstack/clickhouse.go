package devstack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"time"
)

// ClickHouseOptions says how to run a ClickHouse. The zero value is a
// temporary server on a free loopback port.
type ClickHouseOptions struct {
	// URL is a server that runs already; nothing is started then.
	// Empty means the environment variable CLICKHOUSE_URL, and if that is
	// empty too, a private server. "none" means: don't look at CLICKHOUSE_URL.
	URL string
	// Dir keeps the data between runs. Empty means a temporary directory.
	Dir string
	// Port is the loopback port of the HTTP interface. Zero means a free one.
	Port int
	// Progress gets a line for each step that takes long (the engine is
	// fetched once). Nil means none.
	Progress io.Writer
}

// ClickHouseServer is a running ClickHouse.
type ClickHouseServer struct {
	// URL is the address of the HTTP interface: http://127.0.0.1:8123.
	URL string
	// Addr is the host:port of URL.
	Addr string
	// Dir has the data of a server that devstack started, else it is empty.
	Dir string

	*process
}

var clickhouseMissing = &NotFoundError{
	Server: "ClickHouse",
	Tried:  []string{"CLICKHOUSE_URL", "clickhouse", "npm package @chdb/lib-*"},
	Install: map[string]string{
		"debian": clickhouseOnLinux(),
		"macos":  "brew install --cask clickhouse",
		"any":    "see https://clickhouse.com/docs/install",
	},
}

// clickhouseOnLinux is what our own engine lacks where there is one.
func clickhouseOnLinux() string {
	if runtime.GOARCH == "amd64" {
		return "apt-get install -y npm"
	}
	return "" // "any" then
}

// ClickHouse starts a ClickHouse as opts say; nil means the zero options. The
// caller closes it. The first use on a machine may fetch and build the engine
// of analytics/devclickhouse: give ctx two minutes.
func ClickHouse(ctx context.Context, opts *ClickHouseOptions) (*ClickHouseServer, error) {
	var o ClickHouseOptions
	if opts != nil {
		o = *opts
	}
	if o.URL == "" {
		o.URL = os.Getenv("CLICKHOUSE_URL")
	}
	if o.URL != "" && o.URL != "none" {
		u, err := url.Parse(o.URL)
		if err != nil || u.Host == "" {
			return nil, errors.New("devstack: CLICKHOUSE_URL is no URL like http://127.0.0.1:8123")
		}
		return &ClickHouseServer{URL: o.URL, Addr: u.Host}, nil
	}
	launch, name := startClickHouseBinary, "clickhouse"
	bin, err := lookAny("clickhouse")
	if err != nil {
		launch, name = startDevClickHouse, "devclickhouse"
		if bin, err = devClickHouse(ctx, o.Progress); err != nil {
			return nil, err
		}
	}
	s := &ClickHouseServer{}
	remove := ""
	if s.Dir = o.Dir; s.Dir == "" {
		if s.Dir, err = os.MkdirTemp(ramDir(2<<30), "ashlar-clickhouse-"); err != nil {
			return nil, err
		}
		remove = s.Dir
	}
	if s.Dir, err = filepath.Abs(s.Dir); err != nil {
		return nil, err
	}
	if err = os.MkdirAll(s.Dir, 0o700); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	addr, err := launch(s, bin, o.Port, remove)
	if err != nil {
		err = fmt.Errorf("devstack: start %s: %w", bin, err)
		if remove != "" {
			err = errors.Join(err, os.RemoveAll(remove))
		}
		return nil, err
	}
	if err := s.wait(ctx, name, func() bool { return clickhouseAnswers(ctx, s, addr()) }); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// clickhouseAnswers fills in the address once the server answers there.
func clickhouseAnswers(ctx context.Context, s *ClickHouseServer, addr string) bool {
	if addr == "" {
		return false
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/ping", nil)
	if err != nil {
		return false
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return false
	}
	s.Addr, s.URL = addr, "http://"+addr
	return true
}

// startDevClickHouse starts our own engine. It takes a free port itself and
// reports it in a file.
func startDevClickHouse(s *ClickHouseServer, bin string, port int, remove string) (func() string, error) {
	ready := filepath.Join(s.Dir, "devclickhouse.addr")
	if err := os.Remove(ready); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err // one of an earlier run would mislead
	}
	cmd := exec.Command(bin, "-addr", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), "-dir", filepath.Join(s.Dir, "data"), "-ready", ready)
	cmd.Dir = s.Dir
	cmd.Env = append(os.Environ(), "TZ=UTC")
	cmd.SysProcAttr = ownSession()
	var err error
	s.process, err = start(cmd, filepath.Join(s.Dir, "devclickhouse.log"), stopSignal(remove), remove)
	return func() string {
		b, err := os.ReadFile(ready)
		if err != nil {
			return "" // not yet
		}
		return string(b)
	}, err
}

// stopSignal spares a server whose data is thrown away its orderly end.
func stopSignal(remove string) string {
	if remove != "" {
		return "KILL"
	}
	return "TERM"
}

// clickhouseConfig is a server for one developer: loopback, the user default
// without a password, the HTTP interface alone, no logs in tables.
const clickhouseConfig = `<clickhouse>
	<logger><level>warning</level><console>1</console></logger>
	<listen_host>127.0.0.1</listen_host>
	<http_port>%d</http_port>
	<path>%s/</path>
	<timezone>UTC</timezone>
	<users><default><password></password><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota><access_management>1</access_management></default></users>
	<profiles><default/></profiles>
	<quotas><default/></quotas>
	<user_directories><users_xml><path>config.xml</path></users_xml></user_directories>
</clickhouse>
`

// startClickHouseBinary starts an installed ClickHouse.
func startClickHouseBinary(s *ClickHouseServer, bin string, port int, remove string) (func() string, error) {
	var err error
	if port == 0 {
		if port, err = freePort(); err != nil {
			return nil, err
		}
	}
	data := filepath.Join(s.Dir, "data")
	config := filepath.Join(s.Dir, "config.xml")
	if err := os.WriteFile(config, fmt.Appendf(nil, clickhouseConfig, port, data), 0o600); err != nil {
		return nil, err
	}
	cmd := exec.Command(bin, "server", "--config-file", config)
	cmd.Dir = s.Dir
	// Its own watchdog would be the process that ours stops.
	cmd.Env = append(os.Environ(), "CLICKHOUSE_WATCHDOG_ENABLE=0")
	cmd.SysProcAttr = ownSession()
	s.process, err = start(cmd, filepath.Join(s.Dir, "clickhouse.log"), stopSignal(remove), remove)
	return func() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }, err
}

// InstallClickHouse makes sure that [ClickHouse] finds a server without
// fetching anything later. progress gets a line per step; nil means none.
func InstallClickHouse(ctx context.Context, progress io.Writer) error {
	if _, err := lookAny("clickhouse"); err == nil {
		return nil
	}
	_, err := devClickHouse(ctx, progress)
	return err
}

// Close stops a server that devstack started; one given by URL stays.
func (s *ClickHouseServer) Close() error {
	if s.process == nil {
		return nil
	}
	return s.process.Close()
}

// Kill ends the server as a crash would and waits until it is gone.
func (s *ClickHouseServer) Kill() error { return s.kill() }
