package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"strings"
)

const usage = `pulse watches URLs and tells you when they are down.

usage: pulse [role] [flags]

roles:
  (none)     the local demo: all of it on servers of its own, allowed to watch
             private addresses, with a site at /demo/site to break
  all        all of the below in one process
  api        the HTTP API, the status pages, the jobs dashboard at /ops/jobs/, the
             cache page at /ops/cache/ and Prometheus' /ops/metrics (see
             OPS_PASSWORD) and, where -listen and -base are on this machine,
             the dev inbox
  worker     checks and alerts
  scheduler  decides what is due, and forwards the outbox
  manage     migrate: bring the database up to date

flags:
`

const environment = `
environment:
  DATABASE_URL         PostgreSQL as its owner; migrations run with it
  APP_DATABASE_URL     the same as a member of tenancy_app (default: made from DATABASE_URL)
  SYSTEM_DATABASE_URL  the same as a member of tenancy_system (default: likewise)
  SEAL_KEY             <key id>:<64 hex digits>; seals the team of each transaction, so that
                       injected SQL cannot choose another one; migrations install it; and
                       the cursors of pages, so that every process reads those of the others
  REDIS_URL            Redis
  OPS_PASSWORD         what operators log in with at /ops/, under any name; without it
                       those pages are only there where the dev inbox is
  CLICKHOUSE_URL       ClickHouse over HTTP; "memory" keeps no analytics
Without DATABASE_URL, REDIS_URL or CLICKHOUSE_URL the roles demo and all start
servers of their own and keep their data in -data.
`

// config is what the arguments and the environment say.
type config struct {
	role         string
	listen       string
	data         string
	base         string // how the world reaches this server
	allowPrivate bool
	proxies      []netip.Prefix // whose word about a client's address counts
	demo         bool

	databaseURL, appURL, systemURL string
	redisURL, clickhouseURL        string
	seals                          seals
	opsPassword                    string // empty: operators are those on this machine
}

// errHelp says that the usage was printed because it was asked for.
var errHelp = errors.New("help")

// parse reads arguments and environment. Its errors are sentences for the
// user.
func parse(args []string, getenv func(string) string, out io.Writer) (*config, error) {
	c := &config{
		databaseURL:   getenv("DATABASE_URL"),
		appURL:        getenv("APP_DATABASE_URL"),
		systemURL:     getenv("SYSTEM_DATABASE_URL"),
		redisURL:      getenv("REDIS_URL"),
		clickhouseURL: getenv("CLICKHOUSE_URL"),
		opsPassword:   getenv("OPS_PASSWORD"),
	}
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		c.role, args = args[0], args[1:]
	}
	flags := flag.NewFlagSet("pulse", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&c.listen, "listen", "127.0.0.1:8080", "address of the HTTP `host:port`")
	flags.StringVar(&c.data, "data", ".data/pulse", "`folder` for the data of servers that pulse starts, and for mail in the dev inbox")
	flags.StringVar(&c.base, "base", "", "`URL` under which the world reaches this server (default http://<listen>)")
	flags.Func("proxies", "`networks` of the proxies in front, like 10.0.0.0/8,fd00::/8, once or several times; without them all who come through a proxy count as one address", func(text string) error {
		more, err := parseNetworks(text)
		c.proxies = append(c.proxies, more...)
		return err
	})
	flags.BoolVar(&c.allowPrivate, "allow-private", false, "let monitors reach loopback and private addresses")
	err := flags.Parse(args)
	if errors.Is(err, flag.ErrHelp) || c.role == "help" {
		fmt.Fprint(out, usage)
		flags.SetOutput(out)
		flags.PrintDefaults()
		fmt.Fprint(out, environment)
		return nil, errHelp
	}
	if err != nil {
		return nil, fmt.Errorf("%w (pulse -h lists the flags)", err)
	}
	if text := getenv("SEAL_KEY"); text != "" {
		if c.seals, err = parseSeals(text); err != nil {
			return nil, fmt.Errorf("SEAL_KEY: %w", err)
		}
	}
	return c, c.check(flags.Args())
}

func parseNetworks(text string) (all []netip.Prefix, err error) {
	for part := range strings.SplitSeq(text, ",") {
		p, err := netip.ParsePrefix(strings.TrimSpace(part))
		if err != nil {
			return nil, errors.New("want networks like 10.0.0.0/8,fd00::/8")
		}
		all = append(all, p)
	}
	return all, nil
}

func (c *config) check(rest []string) error {
	switch c.role {
	case "":
		c.role, c.demo, c.allowPrivate = "all", true, true
	case "all":
	case "api", "worker", "scheduler":
		if c.databaseURL == "" && (c.appURL == "" || c.systemURL == "") || c.redisURL == "" || c.clickhouseURL == "" {
			return fmt.Errorf("pulse %s shares its servers with the other roles: set DATABASE_URL, REDIS_URL and CLICKHOUSE_URL, or run pulse all", c.role)
		}
	case "manage":
		if len(rest) != 1 || rest[0] != "migrate" {
			return errors.New("pulse manage knows one command: pulse manage migrate")
		}
		if c.databaseURL == "" {
			return errors.New("pulse manage migrate: set DATABASE_URL to the owner's URL")
		}
		rest = nil
	default:
		return fmt.Errorf("unknown role %q: want all, api, worker, scheduler or manage (pulse -h explains them)", c.role)
	}
	if len(rest) > 0 {
		return fmt.Errorf("unknown argument %q (pulse -h lists the flags)", rest[0])
	}
	if (c.appURL == "") != (c.systemURL == "") {
		return errors.New("set both APP_DATABASE_URL and SYSTEM_DATABASE_URL, or neither")
	}
	host, port, err := net.SplitHostPort(c.listen)
	if err != nil {
		return fmt.Errorf("-listen %q is not host:port", c.listen)
	}
	if c.base == "" {
		if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
			host = "localhost" // where everything is listened on, this leads to it
		}
		c.base = "http://" + net.JoinHostPort(host, port)
	}
	if u, err := url.Parse(c.base); err != nil || u.Host == "" {
		return fmt.Errorf("-base %q is not a URL like https://pulse.example.com", c.base)
	}
	c.base = strings.TrimSuffix(c.base, "/")
	for name, value := range map[string]string{
		"DATABASE_URL": c.databaseURL, "APP_DATABASE_URL": c.appURL, "SYSTEM_DATABASE_URL": c.systemURL,
		"REDIS_URL": c.redisURL, "CLICKHOUSE_URL": c.clickhouseURL,
	} {
		if value == "" || name == "CLICKHOUSE_URL" && value == "memory" {
			continue
		}
		// Not the value: it may hold a password.
		if u, err := url.Parse(value); err != nil || u.Scheme == "" {
			return fmt.Errorf("%s is not a URL", name)
		}
	}
	return nil
}

// local reports whether only this machine reaches the server. The dev inbox
// shows the mail of all teams to whoever asks, so it is served there alone; a
// proxy in front shows in -base and -proxies.
func (c *config) local() bool {
	listen, _, err := net.SplitHostPort(c.listen)
	base, err2 := url.Parse(c.base)
	return err == nil && err2 == nil && len(c.proxies) == 0 && loopback(listen) && loopback(base.Hostname())
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (c *config) runs(role string) bool { return c.role == "all" || c.role == role }
