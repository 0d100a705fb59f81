// Package page is what a browser sees of a tool: one page that reads /metrics
// every two seconds and draws it. Everything that it needs is in the binary,
// and its policy forbids the browser to ask another host for anything.
package page

import (
	"embed"
	"html/template"
	"net/http"
)

//go:embed index.html files/*
var files embed.FS

var index = template.Must(template.ParseFS(files, "index.html"))

// policy is a Content-Security-Policy (www.w3.org/TR/CSP3).
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Handler serves the page of a tool at / and its parts below /files/.
func Handler(tool, version string) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /files/", http.FileServerFS(files))
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_ = index.Execute(w, struct{ Tool, Version string }{tool, version}) // the browser went away
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-cache") // another version may run tomorrow
		mux.ServeHTTP(w, r)
	})
}
