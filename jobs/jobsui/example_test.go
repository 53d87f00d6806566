package jobsui_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/jobstest"
	"github.com/ashlar-go/ashlar/jobs/jobsui"
)

func ExampleNew() {
	q, _ := jobs.New(jobstest.NewDriver(), nil) // redisjobs.New(rdb, nil) in production
	ui, err := jobsui.New(map[string]*jobs.Queue{"mail": q}, &jobsui.Options{ReadOnly: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	operatorsOnly := func(next http.Handler) http.Handler { return next } // your login
	mux := http.NewServeMux()
	mux.Handle("/jobs/", operatorsOnly(http.StripPrefix("/jobs", ui)))

	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest("GET", "/jobs/", nil))
	fmt.Println(w.Code, w.Header().Get("Content-Type"))
	// Output: 200 text/html; charset=utf-8
}
