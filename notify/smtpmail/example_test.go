package smtpmail_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/ashlar-go/ashlar/notify"
	"github.com/ashlar-go/ashlar/notify/smtpmail"
)

func ExampleNew() {
	// Options.Dial reaches a server that says yes to everything; a program leaves
	// it nil, and TLS too, which then demands STARTTLS.
	dial := func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go sayYes(theirs)
		return ours, nil
	}
	mail, err := smtpmail.New("localhost:25", notify.Address{Name: "Acme", Email: "hi@acme.dev"}, &smtpmail.Options{
		TLS: smtpmail.TLSNone, Hello: "app.acme.dev", Timeout: time.Minute, Dial: dial,
	})
	if err != nil {
		panic(err)
	}
	n, err := notify.New(&notify.Options{Email: mail})
	if err != nil {
		panic(err)
	}
	fmt.Println(n.Send(context.Background(), notify.Message{To: notify.Recipient{Email: "ann@example.com"}, Subject: "Grüße", Text: "Welcome"}))
	// Output:
	// EHLO app.acme.dev
	// MAIL FROM:<hi@acme.dev>
	// RCPT TO:<ann@example.com>
	// Subject: =?utf-8?B?R3LDvMOfZQ==?=
	// <nil>
}

func sayYes(conn net.Conn) {
	defer conn.Close()
	fmt.Fprint(conn, "220 hello\r\n")
	data := false
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		line := lines.Text()
		if strings.HasPrefix(line, "EHLO") || strings.HasPrefix(line, "MAIL") || strings.HasPrefix(line, "RCPT") || strings.HasPrefix(line, "Subject") {
			fmt.Println(line)
		}
		switch {
		case line == "DATA":
			data = true
			fmt.Fprint(conn, "354 go on\r\n")
		case line == ".":
			data = false
			fmt.Fprint(conn, "250 ok\r\n")
		case !data:
			fmt.Fprint(conn, "250 ok\r\n")
		}
	}
}
